"""Bad input gets one line that names the value, the reason and the next step, and exit code 2."""

import json
import socket

import pytest

from tests.harness.command import fanbench
from tests.harness.forked_command import forked_fanbench

pytestmark = pytest.mark.usefixtures("integration")

MANY = 1_000_000  # more than any number of Locust processes holds


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["compare", "valky"], ["valky", "did you mean 'valkey'"]),
        (["compare", "valkey", "--rate", "0"], ["rate_hz", "0", "greater than 0"]),
        (["compare", "valkey", "--rate", "-5"], ["rate_hz", "-5"]),
        (["compare", "valkey", "--clients", "0"], ["clients", "0"]),
        (["compare", "valkey", "--clients", "many"], ["--clients", "many"]),
        (["compare", "valkey", "--clients", str(MANY)], [str(MANY), "descriptors", "--clients"]),
        (["compare", "valkey", "--topics", "0"], ["topics", "0", "1 or more"]),
        (["compare", "valkey", "--payload-bytes", "10"], ["10", "payload_bytes", "give"]),
        (["compare", "valkey", "--scenario", "broadcst"], ["broadcst", "did you mean 'broadcast'"]),
        (["compare", "valkey", "--clinets", "3"], ["--clinets", "--clients"]),
        (["compare", "rediss+x://127.0.0.1"], ["rediss+x", "unknown scheme"]),
        (["compare", "redis://user:sesame@127.0.0.1:1"], ["redis://user:***@127.0.0.1:1", "connect"]),
        (["compare", "redis://127.0.0.1:port"], ["port"]),
        (["demo", "redis://user:sesame@127.0.0.1:1"], ["redis://user:***@127.0.0.1:1", "connect"]),
        (["demo", "valkey", "--port", "0"], ["port 0", "--port"]),
        (["demo", "valkey", "--port", "70000"], ["port 70000", "--port"]),
        (["compare", "valkey", "--duration", "inf"], ["duration_s", "inf", "finite"]),
        (["compare", "valkey", "--warmup", "nan"], ["warmup_s", "nan"]),
        (["report", "/nowhere/at/all"], ["/nowhere/at/all", "not a result directory"]),
        (["capacity", "valkey", "--slo", "p98<3ms"], ["p98", "p99"]),
        (["size", "--clients", "9", "--rate", "9000"], ["9000 events/s", "lower --rate"]),
        (["size", "--clients", "9", "--rate", "nan"], ["--rate nan", "1000000000"]),
        (["size", "--clients", "9" * 400, "--rate", "1"], ["--clients 999", "1000000000000"]),
        (
            ["compare", "nats://127.0.0.1", "--replicas-at", ""],
            ["--replicas-at ''", "is a variable of your shell not set?"],
        ),
        (["size", "--clients", "9", "--rate", "1", "--units", "/nowhere"], ["--units", "docs/scale.md"]),
        (["compar"], ["compar", "compare"]),
        (["capacity"], ["either a contender or --all"]),
        (["capacity", "valkey", "--all"], ["valkey", "either a contender or --all"]),
        (["compare", "valkey", "--margin", "1"], ["--margin", "1"]),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_exit_code_2(words, named, tmp_path):
    out = ["--out", tmp_path] if words[0] in ("compare", "capacity") else []
    done = forked_fanbench(*words, *out)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done
    assert len(lines) == 1, lines
    for word in named:
        assert word in lines[0]
    assert "sesame" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_an_unknown_scenario_key_is_named(tmp_path):
    (tmp_path / "mine.toml").write_text("cleints = 5\n")
    done = forked_fanbench("compare", "valkey", "--scenario", tmp_path / "mine.toml")
    assert done.returncode == 2
    assert "unknown scenario field 'cleints'; did you mean 'clients'?" in done.stderr


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = forked_fanbench("demo", "valkey", "--port", port)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr


def test_doctor_says_what_runs_here_and_how_to_get_the_rest():
    done = forked_fanbench("doctor", "--json")
    found = json.loads(done.stdout)
    rows = {row["name"]: row for row in found["contenders"]}
    assert rows["valkey"]["runnable"]
    assert rows["valkey"]["version"]
    assert all(row["runnable"] or row["how"] for row in rows.values())
    assert found["most_clients"]["1"] > 0
    assert fanbench("doctor").stdout.count("valkey") >= 1
