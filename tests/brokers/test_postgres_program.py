"""The PostgreSQL that fanbench starts: several at once, intact after a kill, stopped completely, with the chosen settings."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from brokers.conformance.faults import polled
from brokers.contender import Broker
from brokers.contenders import find_contender
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.postgres_background import achieved, require_programs
from brokers.programs.probe import postgres_answers
from core.errors import FanbenchError, UsageError
from tests.missing import missing
from tests.waiting import wait_until

DEADLINE_S = 60.0


@pytest.fixture
def start(integration, tmp_path):
    """Starts contenders by name; all are stopped at the end."""
    running = []

    def start(name):
        found = find_contender(name)
        if not found.runnable:
            missing(f"postgres: {found.install_hint}")
        running.append(found.started(tmp_path / str(len(running))))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def family(running):
    return [psutil.Process(pid) for pid in running.pids] + psutil.Process(running.pids[0]).children(recursive=True)


def segments_of(running):
    """The ids of the shared-memory segments that the server's user has on this machine."""
    table = Path("/proc/sysvipc/shm")
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    file = running.data / "db" / "postmaster.pid"
    ours = file.read_text().splitlines()[6].split()[1]
    return {row[1] for row in rows if row[1] == ours}


def port_of(running):
    return int(running.listeners["postgres"].rpartition(":")[2])


async def ask(running, query):
    connection = await asyncpg.connect(f"postgresql://fanbench@{running.listeners['postgres']}/postgres", timeout=30)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_it_keeps_what_was_committed_through_a_kill_and_ends_with_all_its_processes(start):
    one, other = start("postgres"), start("postgres-outbox")
    assert one.listeners != other.listeners
    listening = {c.laddr.ip for process in family(one) for c in process.net_connections() if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    await ask(one, "CREATE TABLE kept ()")
    processes = family(one)
    assert len(processes) > 3
    segments = segments_of(one)
    assert segments or not Path("/proc/sysvipc/shm").exists()
    one.kill()
    assert not segments & segments_of(one), "a killed server leaves no shared memory to the machine"
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    one.start_again()
    assert await ask(one, "SELECT count(*) FROM pg_class WHERE relname = 'kept'") == 1
    processes = family(one)
    one.halt()
    assert one.child.returncode == 0, "it ends in good order although clients may be connected"
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert await ask(other, "SELECT 1") == 1


def test_a_stopped_server_answers_nothing_and_goes_on_when_it_is_continued(start):
    running = start("postgres")
    running.pause()
    # A process that had just ended stays a zombie until the server continues.
    stands = {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    wait_until(lambda: {process.status() for process in family(running)} <= stands, "all stop", DEADLINE_S)
    assert not postgres_answers(port_of(running))
    running.resume()
    wait_until(lambda: postgres_answers(port_of(running)), "it answers again", DEADLINE_S)


async def test_its_settings_are_as_asked_and_its_background_commits_notify(start):
    running = start("postgres?fsync=0&synchronous_commit=0&background_commits_hz=50")
    assert await ask(running, "SELECT current_setting('fsync')") == "off"
    assert await ask(running, "SELECT current_setting('synchronous_commit')") == "off"
    url = f"postgresql://fanbench@{running.listeners['postgres']}/postgres"
    connection, heard = await asyncpg.connect(url, timeout=30), []
    try:
        await connection.add_listener("fanbench_background", lambda *_: heard.append(1))
        await polled(lambda: len(heard) >= 20, "the notifications of other writers")
    finally:
        await connection.close()
    load = running.child._background
    assert load.returncode is None
    running.stop()
    assert load.returncode is not None


def test_background_commits_that_do_not_happen_are_reported(start):
    running = start("postgres?background_commits_hz=100000")
    load = Broker("", running)
    wait_until(
        lambda: "of 100,000 background commits per second were achieved" in load.shortfall(),
        "it says how few",
        DEADLINE_S,
    )
    running.child._background.kill()
    assert "the background commits ended: pgbench ended with exit code -9" in load.shortfall()
    assert Broker("", start("postgres")).shortfall() == ""


def test_the_rate_of_background_commits_is_that_of_its_last_seconds(tmp_path):
    log = tmp_path / "pgbench.log"
    lines = [
        "pgbench (18.6)",
        *(
            f"progress: {n}.0 s, {tps} tps, lat 1.000 ms stddev 0.1, lag 0.1 ms"
            for n, tps in enumerate([3.0, 498.5, 502.25], 1)
        ),
    ]
    log.write_text("\n".join(lines[:2]))
    assert achieved(log) is None, "the first second is that of its start"
    log.write_text("\n".join(lines))
    assert achieved(log) == pytest.approx(500.375)
    log.write_text("\n".join(lines + lines[-1:] * 1_000))
    assert achieved(log) == 502.25


def test_background_commits_need_the_client_programs(tmp_path):
    (tmp_path / "psql").touch()
    (tmp_path / "pg_isready").touch()
    with pytest.raises(FanbenchError, match=rf"pgbench is missing in {tmp_path}; install"):
        require_programs(tmp_path)


def test_a_setting_is_checked_and_shown_next_to_the_default_ones():
    assert find_contender("postgres").settings == {"fsync": 1, "synchronous_commit": 1, "background_commits_hz": 0}
    assert find_contender("postgres-outbox?fsync=0").settings["fsync"] == 0
    with pytest.raises(UsageError, match="give 0 to 1"):
        find_contender("postgres?fsync=2")
    with pytest.raises(UsageError, match="background_commits_hz=-5: give 0 to 100000"):
        find_contender("postgres?background_commits_hz=-5")
    with pytest.raises(UsageError, match="did you mean 'fsync'"):
        find_contender("postgres?fsnyc=0")
    with pytest.raises(UsageError, match="a container cannot have settings"):
        find_contender("postgres?fsync=0").launched_by("docker").require_runnable()


@pytest.mark.parametrize("version", ["15", "postgresql@17"])
def test_the_newest_system_version_is_used_without_a_wheel(version, tmp_path, monkeypatch):
    for name in ("9.6", version):
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        (folder / "postgres").touch(0o755)
    monkeypatch.setattr("brokers.programs.postgres.find_spec", lambda name: None)
    monkeypatch.setattr("brokers.programs.postgres._FOLDERS", (f"{tmp_path}/*/bin",))
    assert PROGRAMS["postgres"].find() == tmp_path / version / "bin" / "postgres"


INITIALISE = """
import sys
from pathlib import Path
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.postgres import initialise
from core.errors import FanbenchError
try:
    initialise(PROGRAMS["postgres"].require().parent, Path(sys.argv[1]))
except FanbenchError as error:
    print(error)
else:
    print("done")
"""


@pytest.mark.usefixtures("integration")
@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("dac_read_search", "done"),
        ("dac_override", "postgres: initdb failed: setpriv: .*; run fanbench as another user"),
    ],
)
def test_root_in_a_container_can_make_a_database_or_learns_what_to_do(without, said, tmp_path):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root changes users, by setpriv")
    if PROGRAMS["postgres"].find() is None:
        missing("postgres: make setup")
    command = ["setpriv", f"--bounding-set=-{without}", sys.executable, "-c", INITIALISE, tmp_path / "data"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert re.fullmatch(said, done.stdout.strip()), done.stdout + done.stderr
