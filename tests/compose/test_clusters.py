"""The cluster profiles, started for real: three nodes, and events continue after the leader's death."""

import json
import time

import pytest

from tests.compose.demo import Demo, docker
from tests.compose.test_demo import messages
from tests.waiting import wait_until

OTHERS = 4  # two replicas, the generator, the proxy
TOPIC = "events"

pytestmark = pytest.mark.timeout(600)  # the first test builds the image


def inside(demo: Demo, service: str, *command: str) -> str:
    """The output of a command in a service's container."""
    (container,) = demo.containers(service)
    return docker("exec", container, *command)


def at_address(demo: Demo, profile: str, address: str) -> str:
    """The container of a cluster that has this address."""
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    (found,) = [one for one in demo.containers() if docker("inspect", "--format", networks, one) == address]
    assert docker("inspect", "--format", "{{.Name}}", found).lstrip("/").find(profile) > 0
    return found


def sentinel_primary(demo: Demo) -> str:
    """The primary's address according to a Sentinel."""
    profile = demo.profiles[0]
    product = profile.partition("-")[0]
    ask = (f"{product}-cli", "--raw", "-p", "26379", "sentinel", "get-master-addr-by-name", "fanbench")
    return inside(demo, f"{profile}-sentinel-1", *ask).splitlines()[0]


def leading(demo: Demo) -> str:
    """The container of the node whose death moves the work."""
    profile = demo.profiles[0]
    if profile.endswith("-sentinel"):
        return at_address(demo, profile, sentinel_primary(demo))
    if profile == "valkey-cluster":
        slot = int(inside(demo, f"{profile}-node-1", "valkey-cli", "cluster", "keyslot", TOPIC))
        return at_address(
            demo, profile, slot_owner(inside(demo, f"{profile}-node-1", "valkey-cli", "cluster", "nodes"), slot)
        )
    (container,) = demo.containers(f"{profile}-1")  # the first of the URL, where all clients are
    return container


def slot_owner(table: str, slot: int) -> str:
    """The address of a slot's primary in the output of CLUSTER NODES."""
    for line in table.splitlines():
        _, address, _, _, _, _, _, _, *ranges = line.split()
        for bounds in ranges:
            first, _, last = bounds.partition("-")
            if int(first) <= slot <= int(last or first):
                return address.partition(":")[0]
    raise AssertionError(f"nobody owns slot {slot}:\n{table}")


def check_that_events_go_on(demo: Demo, nodes: int) -> None:
    """Kill the leader, and receive an event that was sent after its death."""
    demo.wait_healthy(nodes + OTHERS, 240)
    with demo.stream("--max-time", "120") as events:
        assert next(messages(events), None), "no event before the kill"
        docker("kill", leading(demo))
        killed_ns = time.time_ns()
        sent_ns = (json.loads(event.data)["sent_ns"] for event in messages(events))
        assert any(sent > killed_ns for sent in sent_ns), "no event after the kill"


@pytest.mark.parametrize("demo", ["valkey-sentinel"], indirect=True)
def test_events_continue_after_the_primarys_death_and_it_returns_as_a_copy(demo: Demo) -> None:
    check_that_events_go_on(demo, 6)
    before = set(demo.containers())
    (killed,) = [one for one in docker("ps", "-aq", "--filter", f"name={demo.project}").split() if one not in before]
    docker("start", killed)
    told = wait_until(lambda: info_of(killed, "master_link_status:up"), "it follows the new primary", 60, every_s=0.5)
    assert "role:slave" in told


def info_of(container: str, wanted: str) -> str | None:
    """A server's replication report, once it has the wanted line."""
    told = docker("exec", container, "sh", "-c", "valkey-cli info replication || true")
    return told if wanted in told else None


@pytest.mark.soak
@pytest.mark.parametrize(
    ("demo", "nodes"),
    [("redis-sentinel", 6), ("valkey-cluster", 6), ("nats-cluster", 3), ("rabbitmq-cluster", 3)],
    indirect=["demo"],
)
def test_events_continue_after_the_leaders_death(demo: Demo, nodes: int) -> None:
    check_that_events_go_on(demo, nodes)


@pytest.mark.soak
@pytest.mark.parametrize("demo", ["valkey-cluster"], indirect=True)
def test_a_killed_node_returns_as_a_copy(demo: Demo) -> None:
    demo.wait_healthy(6 + OTHERS, 240)
    service = "valkey-cluster-node-"
    lines = inside(demo, f"{service}1", "valkey-cli", "cluster", "nodes").splitlines()
    rows = {at_address(demo, service, line.split()[1].partition(":")[0]): line.split() for line in lines}
    primary = leading(demo)
    copy = next(node for node, row in rows.items() if row[3] not in ("-", rows[primary][0]))  # of another primary
    asked = next(node for node in rows if node not in (primary, copy))
    docker("kill", primary, copy)

    def table() -> list[str]:
        lines = docker("exec", asked, "valkey-cli", "cluster", "nodes").splitlines()
        return [line for line in lines if "fail" not in line]

    wait_until(lambda: len(table()) == 4, "the others miss both", 60, every_s=0.5)
    demo.compose("up", "-d")
    wait_until(lambda: sum(" slave " in line for line in table()) == 3, "each primary has a copy", 120, every_s=0.5)
    wait_until(lambda: not demo.containers("valkey-cluster-form"), "the job has ended", 60, every_s=0.5)
    wait_until(lambda: len(table()) == 6, "nobody misses anybody", 60, every_s=0.5)


@pytest.mark.soak
@pytest.mark.parametrize("demo", ["FANBENCH_ERLANG_COOKIE=a-cookie-of-our-own rabbitmq-cluster"], indirect=True)
def test_the_cookie_is_never_printed(demo: Demo) -> None:
    demo.wait_healthy(3 + OTHERS, 240)
    assert "a-cookie-of-our-own" in inside(demo, "rabbitmq-cluster-2", "cat", "/var/lib/rabbitmq/.erlang.cookie")
    assert "a-cookie-of-our-own" not in demo.compose("logs")
    for service in ("rabbitmq-cluster-1", "rabbitmq-cluster-2", "rabbitmq-cluster-3"):
        assert "a-cookie-of-our-own" not in inside(demo, service, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
