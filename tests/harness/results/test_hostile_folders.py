"""Malicious result directories, scenarios and needs: refused in one line, within seconds, or shown harmlessly."""

import base64
import functools
import json
import os
import zlib
from pathlib import Path

import pytest

from tests.harness import made_up
from tests.harness.forked_command import Done, forked_fanbench
from tests.harness.results.test_store import stored

pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.slow]
WITHIN_S = 5.0
MEMORY_BYTES = 1_500_000 * 1024
FILES = ("manifest.json", "summary.csv", "timeline.csv", "histograms.json")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return stored(tmp_path, *(made_up.run(name, number) for name in ("valkey", "nats") for number in (1, 2, 3)))


def run(*words: object) -> Done:
    """Run fanbench to its end with little memory; its CPU time does not depend on other tests."""
    return forked_fanbench(*words, timeout_s=60, memory_bytes=MEMORY_BYTES)


def edited(folder: Path, change: object) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)  # type: ignore[operator]
    file.write_text(json.dumps(manifest))


def fifo(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def endless(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")


def sparse(folder: Path, name: str) -> None:
    os.truncate(folder / name, 100 * 1024**3)


def nested(folder: Path, name: str) -> None:
    (folder / name).write_text("[" * 8_000_000)


@functools.cache
def bomb_of_2_gb() -> str:
    """The compressed block of 16 MB, repeated 128 times: compressing 2 GB would take six CPU seconds."""
    packer, piece, times = zlib.compressobj(9, wbits=-15), bytes(1 << 24), 128
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    check = (times * len(piece) % 65521 << 16) + 1  # Adler-32 of zeros
    zeros = b"\x78\xda" + times * block + b"\x03\x00" + check.to_bytes(4, "big")
    return base64.b64encode((0x1C849304).to_bytes(4, "big") + len(zeros).to_bytes(4, "big") + zeros).decode()


def zip_bomb(folder: Path) -> None:
    file = folder / "histograms.json"
    histograms = json.loads(file.read_text())
    for span in histograms["runs"][0]["histograms"]:
        histograms["runs"][0]["histograms"][span] = bomb_of_2_gb()
    file.write_text(json.dumps(histograms))


def many_rows(folder: Path) -> None:
    head, row, *_ = (folder / "timeline.csv").read_text().splitlines()
    (folder / "timeline.csv").write_text("\n".join([head, *[row] * 300_000]))


def every_run_has_its_own_topics(manifest: dict) -> None:  # type: ignore[type-arg]
    manifest["scenario"] |= {"topics": "room-{0..99999}", "payload_bytes": 300}
    first = manifest["order"][0]
    manifest["order"] = [
        first | {"run": i + 1, "scenario": {"topics": f"r{i}-{{0..99999}}", "payload_bytes": 300}} for i in range(200)
    ]


HARM = {
    **{f"a FIFO as {name}": lambda folder, name=name: fifo(folder, name) for name in FILES},
    "a device": lambda folder: endless(folder, "histograms.json"),
    "100 GB of nothing": lambda folder: sparse(folder, "summary.csv"),
    "nested JSON": lambda folder: nested(folder, "manifest.json"),
    "a zip bomb": zip_bomb,
    "300,000 rows": many_rows,
    "100,000 topics in each of 200 runs": lambda folder: edited(folder, every_run_has_its_own_topics),
    "100,000,000 topics": lambda folder: edited(
        folder,
        lambda m: m["scenario"].update(topics=",".join(f"r{i}-{{0..99999}}" for i in range(1000)), payload_bytes=300),
    ),
    "an ESC sequence": lambda folder: edited(folder, lambda m: m.update(verdict=["\x1b]0;title\x07\x1b[2J"])),
    "raw ESC": lambda folder: (folder / "summary.csv").write_bytes(
        (folder / "summary.csv").read_bytes().replace(b"valkey", b"\x1b[2Jkey")
    ),
}


SOME_HARM = ("a FIFO as manifest.json", "a zip bomb", "100,000,000 topics")
"""For commands that read a folder in the same way as `report`."""
CASES = [(command, harm) for command in ("report", "choose") for harm in HARM]
CASES += [(command, harm) for command in ("export", "bundle") for harm in SOME_HARM]


@pytest.mark.parametrize(("command", "harm"), CASES)
def test_a_hostile_folder_ends_in_one_line_within_seconds(good: Path, harm: str, command: str) -> None:
    HARM[harm](good)
    done = run(command, good)
    assert done.cpu_s < WITHIN_S
    assert done.returncode in (1, 2), done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr[-2000:]
    assert done.stderr.startswith("fanbench: ")
    assert "\x1b" not in done.stderr + done.stdout


@pytest.mark.parametrize("command", [("report", "--markdown"), ("choose",)], ids=" ".join)
def test_100_000_topics_of_one_scenario_are_read_in_seconds(good: Path, command: tuple[str, ...]) -> None:
    edited(good, lambda m: m["scenario"].update(topics="room-{0..99999}", payload_bytes=300))
    done = run(*command, good)
    assert done.cpu_s < WITHIN_S
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [10**9, 10**15, 10**18])
def test_a_number_of_any_size_ends_in_a_report_or_in_one_line(good: Path, number: int) -> None:
    edited(good, lambda m: m["scenario"].update(clients=number, rate_hz=1e6, duration_s=1e6, rounds=1000))
    for name in ("timeline.csv", "summary.csv"):
        head, *rows = (good / name).read_text().splitlines()
        place = head.split(",").index({"timeline.csv": "t_s", "summary.csv": "published"}[name])
        cells = [row.split(",") for row in rows]
        changed = [",".join([*row[:place], str(number), *row[place + 1 :]]) for row in cells]
        (good / name).write_text("\n".join([head, *changed]) + "\n")
    done = run("report", good)
    assert done.cpu_s < WITHIN_S
    assert done.returncode == 0 or len(done.stderr.splitlines()) == 1, done.stderr[-2000:]


def test_the_name_of_a_folder_is_shown_harmlessly(good: Path) -> None:
    odd = good.with_name("\x1b[2Jresult")
    good.rename(odd)
    done = run("report", odd)
    assert (done.returncode, "\x1b" in done.stdout, "\\x1b[2J" in done.stdout) == (0, False, True)
    done = run("report", odd / "none")
    assert (done.returncode, "\x1b" in done.stderr) == (2, False)


TOML = {
    "deeply nested": "a = " + "[" * 30_000,
    "many dots": "a" + ".a" * 30_000 + " = 1",
    "a gigabyte": None,
    "ESC": 'name = "\\u001b[2J"',
    "not UTF-8": b"\xff\xfe",
}


@pytest.mark.parametrize("kind", TOML)
@pytest.mark.parametrize("words", [("compare", "memory", "-s"), ("choose", "--needs")], ids=" ".join)
def test_a_hostile_toml_file_ends_in_one_line(tmp_path: Path, words: tuple[str, ...], kind: str) -> None:
    file, text = tmp_path / "x.toml", TOML[kind]
    if text is None:
        file.touch()
        os.truncate(file, 1 << 30)
    else:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = run(*words, file)
    assert done.cpu_s < WITHIN_S
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr[-2000:]
    assert "\x1b" not in done.stderr
