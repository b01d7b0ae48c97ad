"""Workers that cannot start, start late, leave, are killed or belong to another run.

The result is complete, or says what is missing.
"""

import os
import signal
from collections import Counter
from functools import partial

import psutil
import pytest

from tests.load.swarm import START_S, swarm
from tests.server.program import running
from tests.truth.measuring import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")

TOPICS = "room-{0..9}"


@pytest.fixture
def replica(tmp_path):
    """A replica that makes its own events, 100 a second, over ten topics."""
    with running(tmp_path, broker_url="memory://", rate_hz=100, topics=TOPICS) as one:
        yield one


@pytest.fixture
def started(tmp_path, replica):
    """A swarm against the replica."""
    with swarm(tmp_path, f"http://127.0.0.1:{replica.port}", topic=TOPICS) as one:
        yield one


def adds_up(result, replica, users):
    """Clients have the requested number and are evenly spread.

    Deliveries are those that the replica wrote, except those in flight.
    """
    counts = {name: result[name] for name in ("asked", "users", "clients", "connected")}
    assert counts == dict.fromkeys(counts, users)
    assert sum(result["topics"].values()) == users
    assert max(result["topics"].values()) - min(result["topics"].values()) <= 1
    assert (result["lost"], result["duplicated"], result["problems"]) == (0, 0, [])
    assert 0 < result["deliveries"] <= replica.stats().delivered
    # A client that leaves, or is there at the end, may have left a few events unread.
    assert replica.stats().delivered - result["deliveries"] <= 10 * (users + result["left"])


def problems(swarm):
    return "; ".join(swarm.result()["problems"])


def test_workers_that_may_hold_too_few_files_end_the_run(started):
    run = started.processes(2, 1000, "-t", "60s", open_files=400)
    assert run.wait() == 1
    assert "500 clients need 600 open files, this process may have 400" in problems(started)
    assert started.result()["clients"] == 0
    assert len(run.text.splitlines()) < 100
    assert "Traceback" not in run.text


def test_one_worker_of_two_that_cannot_begin_ends_the_run(started):
    master = started.master(200, "--expect-workers", "2", "-t", "60s")
    started.worker()
    weak = started.worker(open_files=150)
    assert master.wait() == 1
    assert "100 clients need 200 open files, this process may have 150" in problems(started)
    assert "this worker cannot begin" in weak.text


def test_a_host_that_no_worker_can_resolve_ends_the_run(tmp_path):
    with swarm(tmp_path, "http://no.such.host.invalid:8000") as started:
        run = started.processes(2, 10, "-t", "60s")
        assert run.wait() == 1
        assert "http://no.such.host.invalid:8000" in problems(started)
        assert len(run.text.splitlines()) < 60


def test_workers_ignore_the_masters_paths(started):
    master = started.master(20, "--expect-workers", "1")
    started.worker(env={"FANBENCH_LOAD_OUT": "/nowhere/out.json", "FANBENCH_LOAD_STATUS": "/nowhere/status.json"})
    started.wait_status("clients", 20)
    started.wait_status("deliveries", 10)
    master.end()
    assert master.wait() == 0
    assert started.result()["clients"] == 20


def test_workers_that_come_one_after_the_other_share_the_clients(started, replica):
    master = started.master(300)
    workers = []
    for _ in range(3):
        workers.append(started.worker())
        even = [300 // len(workers)] * len(workers)
        wait_until(partial(shared, workers, even), f"{even} clients at the workers", START_S)
    started.wait_status("clients", 300)
    before = started.status()["deliveries"]
    started.wait_status("deliveries", before + 600)
    master.end()
    assert master.wait() == 0
    adds_up(started.result(), replica, 300)
    assert started.result()["left"] >= 200
    assert all("Traceback" not in one.text for one in started.started)


def shared(workers, clients):
    """Whether the processes have that many connections besides those to the master and for clock requests."""
    return [len(psutil.Process(one.child.pid).net_connections("tcp")) - 2 for one in workers] == clients


def test_a_worker_that_leaves_hands_over_what_it_measured_once(started, replica):
    master = started.master(200, "--expect-workers", "2")
    first, _ = started.worker(), started.worker()
    started.wait_status("clients", 200)
    started.wait_status("deliveries", 400)
    first.end()
    assert first.wait() == 0
    started.wait_status("clients", 200)
    before = started.status()["deliveries"]
    started.wait_status("deliveries", before + 400)
    master.end()
    assert master.wait() == 0
    adds_up(started.result(), replica, 200)
    assert started.result()["left"] == 100


def test_a_killed_worker_is_a_problem_and_nobody_waits_for_it(started):
    master = started.master(100, "--expect-workers", "2")
    first, _ = started.worker(), started.worker()
    started.wait_status("clients", 100)
    started.wait_status("deliveries", 200)
    first.end(signal.SIGKILL)
    started.wait_status("clients", 50)  # its deliveries no longer count
    started.wait_status("clients", 100)  # and the other one has its users
    master.end()
    assert master.wait(15) == 1
    result = started.result()
    assert (result["clients"], result["connected"], result["users"]) == (100, 100, 100)
    assert "ended without its totals" in problems(started)


def test_a_worker_that_is_delayed_catches_up(started, replica):
    run = started.processes(2, 40)
    started.wait_status("clients", 40)
    started.wait_status("deliveries", 80)
    late = run.forks()[0]
    late.send_signal(signal.SIGSTOP)
    written = replica.stats().delivered
    wait_until(lambda: replica.stats().delivered > written + 400, "events meanwhile", START_S)
    late.send_signal(signal.SIGCONT)
    before = started.status()["deliveries"]
    started.wait_status("deliveries", before + 400)
    run.end()
    assert run.wait() == 0, run.text
    adds_up(started.result(), replica, 40)
    assert started.result()["left"] == 0


def test_a_worker_that_never_answers_again_is_a_problem_and_waited_for_once(started):
    master = started.master(40, "--expect-workers", "2")
    stuck, _ = started.worker(), started.worker()
    started.wait_status("clients", 40)
    started.wait_status("deliveries", 80)
    stuck.end(signal.SIGSTOP)
    master.end()
    assert master.wait(40) == 1
    assert problems(started).count("ended without its totals") == 1
    assert started.result()["clients"] == 20


def test_a_worker_with_other_options_follows_the_master(started):
    master = started.master(20, "--expect-workers", "1")
    started.worker("--topic", "elsewhere", "--host", "http://127.0.0.1:1", "--warmup", "60", "-u", "7")
    started.wait_status("clients", 20)
    started.wait_status("deliveries", 10)
    master.end()
    assert master.wait() == 0
    assert (started.result()["clients"], len(started.result()["topics"])) == (20, 10)


def test_a_run_accepts_only_its_own_workers(started, replica, tmp_path):
    one = started.processes(2, 50)
    started.wait_status("clients", 50)
    other = tmp_path / "other"
    other.mkdir()
    with swarm(other, started.url, started.port, TOPICS) as second:
        late = second.processes(2, 70)
        assert late.wait() == 1
        assert "rejects this worker" in late.text
        strangers = second.worker("--run-name", "another"), second.worker("-f", str(ROOT / "load" / "ws.py"))
        assert [stranger.wait() for stranger in strangers] == [1, 1]
        assert "its clients connect by WS, those of this master by SSE; start it" in strangers[1].text
    assert started.status()["clients"] == replica.stats().clients == 50
    started.wait_status("deliveries", 50)
    one.end()
    assert one.wait() == 0
    assert started.result()["left"] == 0


def test_a_named_run_accepts_workers_that_name_it(started):
    master = started.master(10, "--expect-workers", "2", "--run-name", "mine")
    started.worker("--run-name", "mine", "--processes", "2")
    started.wait_status("clients", 10)
    started.wait_status("deliveries", 10)
    master.end()
    assert master.wait() == 0


def test_workers_end_with_a_master_that_was_killed(started):
    run = started.processes(2, 10)
    started.wait_status("clients", 10)
    workers = run.forks()
    run.end(signal.SIGKILL)
    run.wait()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert (len(gone), alive) == (2, [])


def test_ctrl_c_ends_workers_and_master_with_one_whole_result(started, replica):
    run = started.processes(2, 40)
    started.wait_status("clients", 40)
    started.wait_status("deliveries", 80)
    os.killpg(run.child.pid, signal.SIGINT)  # as a terminal does
    assert run.wait() == 0
    adds_up(started.result(), replica, 40)
    assert started.result()["left"] == 0


def test_users_that_do_not_arrive_in_time_are_a_problem(started):
    run = started.locust("-u", "100", "-r", "5", "-t", "6s")
    assert run.wait() == 1
    assert "100 clients were requested" in problems(started)


def test_a_run_without_deliveries_fails(tmp_path):
    with (
        running(tmp_path, broker_url="memory://", hold="true") as quiet,
        swarm(tmp_path, f"http://127.0.0.1:{quiet.port}") as started,
    ):
        run = started.processes(2, 10)
        started.wait_status("reached", 10)  # by probes, which are not measured events
        run.end()
        assert run.wait() == 1
        assert "no measured event was delivered" in problems(started)
        assert Counter(started.result()["problems"]).most_common(1)[0][1] == 1
