"""Each compared server delivers everything to all its clients."""

from pathlib import Path

import pytest

from benchmarks.machine import Cores, cpu_ns, memory_bytes, tree
from benchmarks.rivals import ALL, Rival, able, left_out
from benchmarks.window import EpollReader, measure
from tests.missing import missing

EVENTS, CLIENTS = 5, 20
OPTIONAL = {"go net/http"}  # no target of the Makefile installs it


@pytest.mark.usefixtures("integration")
@pytest.mark.timeout(300)  # the first time it builds and installs what a contender needs
@pytest.mark.parametrize("contender", ALL, ids=lambda contender: contender.name)
def test_a_contender_delivers_each_event_to_each_client(contender: Rival, tmp_path: Path) -> None:
    _, obstacles = able([contender])
    if obstacles and contender.name in OPTIONAL:
        pytest.skip(obstacles[contender.name])
    if obstacles:
        missing(obstacles[contender.name])
    anywhere = Cores(None, None)
    with contender.start(tmp_path, anywhere) as server, EpollReader(server.port, CLIENTS, None) as reader:
        used = measure(server.pid, server, reader, rate_hz=50, seconds=EVENTS / 50)
        assert used.deliveries == EVENTS * CLIENTS == reader.delivered()
        assert used.cpu_ns > 0
        assert cpu_ns(tree(server.pid)) >= used.cpu_ns
        assert memory_bytes(tree(server.pid)) > 500_000
        # Equal work: frames of the same events, with little overhead.
        assert 280 <= reader.count()["bytes"] / used.deliveries <= 345


def test_a_contender_that_cannot_run_is_named() -> None:
    one = Rival("odd", "never there", ALL[0].start, lambda: "odd not installed")
    here, obstacles = able([one, ALL[1]])
    assert here == [ALL[1]]
    assert left_out(obstacles) == ["odd left out: odd not installed"]
