"""Workers start, leave and are killed at random: the result adds up, or names a problem and the exit code is 1."""

import contextlib
import os
import random
import signal

import psutil
import pytest

from core.contracts import codec
from core.contracts.generator_report import GeneratorReport
from tests.load.swarm import START_S, swarm
from tests.server.program import running
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("integration")

USERS = 40
TOPICS = "room-{0..3}"
MOST_WORKERS = 4
ACTIONS = ("start", "start", "leave", "leave", "kill")
UNREAD = 40
"""Events that a client may leave unread when it closes its connection: the replica has written them and counts them."""


def clients_of(worker):
    """A worker's connections, except the one to the master and, with clients, the one for clock requests."""
    try:
        return max(0, len(psutil.Process(worker.child.pid).net_connections("tcp")) - 2)
    except psutil.NoSuchProcess:
        return 0


class RandomRun:
    """One random run."""

    def __init__(self, seed, folder, replica, started):
        self.rng = random.Random(seed)
        self.report = folder / "report.json"
        self.replica = replica
        self.started = started
        self.killed = 0
        self.history = []

    def run(self):
        """Run it, and judge the result."""
        options = self.rng.choice([[], ["--enable-rebalancing"]])
        self.master = self.started.master(USERS, *options)
        self.workers = [self.started.worker() for _ in range(self.rng.randint(1, 2))]
        self.started.wait_status("reached", USERS)
        before = self.replica.stats().delivered
        self.replica.process.send_signal(signal.SIGUSR1)
        for _ in range(self.rng.randint(1, 4)):
            self.act(self.rng.choice(ACTIONS))
        settled = self.rng.random() < 0.7 and self.settle()
        self.replica.process.send_signal(signal.SIGUSR1)
        report = wait_until(lambda: codec.read(GeneratorReport, self.report), "the generator's report", START_S)
        self.master.end()
        code = self.master.wait()
        self.judge(code, settled, self.replica.stats().delivered - before, report)

    def act(self, action):
        """Start, end or kill a worker, and perhaps wait for the effect."""
        if action == "start" and len(self.workers) < MOST_WORKERS:
            self.workers.append(self.started.worker())
        elif len(self.workers) > 1:
            worker = self.workers.pop(self.rng.randrange(len(self.workers)))
            self.killed += action == "kill"
            worker.end(signal.SIGKILL if action == "kill" else signal.SIGTERM)
        self.history.append((action, len(self.workers)))
        if self.rng.random() < 0.5:
            self.settle()
        else:
            seen = self.started.status().get("deliveries", 0)
            with contextlib.suppress(AssertionError):
                wait_until(lambda: self.started.status().get("deliveries", 0) > seen + 5 * USERS, "some events", 30)

    def settle(self):
        """Wait until all workers and clients are connected; return whether they are."""
        ready = [one for one in self.workers if one.child.poll() is None]

        def settled():
            text = self.master.text
            # Locust moves users shortly after it has accepted a worker: each must have its share of clients.
            there = text.count("reported as ready. ") >= len(ready) and all(
                clients_of(one) >= USERS // len(ready) for one in ready
            )
            return there and self.started.status().get("clients") == self.replica.stats().clients == USERS

        with contextlib.suppress(AssertionError):
            wait_until(settled, "all clients", 30)
            return True
        return False

    def judge(self, code, settled, delivered, report):
        result = self.started.result()
        told = {name: result[name] for name in ("asked", "users", "clients", "connected", "left", "lost", "problems")}
        story = f"{self.history}, settled {settled}, exit code {code}: {told}"
        assert code == (1 if result["problems"] else 0), story
        if code:
            assert self.killed or not settled, story
            return
        assert [result[name] for name in ("asked", "users", "clients", "connected")] == [USERS] * 4, story
        assert result["lost"] == result["duplicated"] == 0, story
        unread = delivered - result["deliveries"]
        assert 0 <= unread <= USERS + UNREAD * result["left"], f"{unread} unread; {story}"
        published = sum(one.measure for one in report.published.values())
        assert 0 < result["events"] <= published, story
        if not result["left"]:
            each = {topic: one.measure for topic, one in report.published.items()}
            assert result["deliveries"] == sum(each[topic] * count for topic, count in result["topics"].items()), story


def run_by_chance(seed, folder):
    """One run with this seed."""
    settings = {"broker_url": "memory://", "rate_hz": 40, "topics": TOPICS, "hold": "true"}
    with (
        running(folder, report=folder / "report.json", **settings) as replica,
        swarm(folder, f"http://127.0.0.1:{replica.port}", topic=TOPICS) as started,
    ):
        RandomRun(seed, folder, replica, started).run()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(1))
def test_a_result_adds_up_or_names_a_problem(seed, tmp_path):
    run_by_chance(seed, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(int(os.environ.get("FANBENCH_TEST_RUNS", "50"))))
def test_fifty_results_add_up_or_name_a_problem(seed, tmp_path):
    run_by_chance(1000 + seed, tmp_path)
