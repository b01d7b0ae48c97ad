"""Redis in production: failovers, Sentinels, a cluster, sockets, permissions, and entries of other programs."""

import asyncio
import contextlib
import signal

import pytest

from brokers.api import Gap
from brokers.conformance.faults import polled, publish_until_taken
from brokers.conformance.workbench import reading, with_credentials
from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.programs.valkey import valkey
from brokers.redis_link import close, kind_of, open_connection
from brokers.redis_subscriber import CLASSIC, Subscriber
from brokers.registry import open_endpoint
from core.ports import free_port
from core.process import spawn
from tests.brokers.redis_sets import cluster, split, watched
from tests.redis_ask import ask
from tests.waiting import wait_until

DEADLINE_S = 60
pytestmark = pytest.mark.usefixtures("integration")


@contextlib.asynccontextmanager
async def both(url):
    """A producer, a consumer, and the consumer's messages."""
    adapter, endpoint = open_endpoint(url)
    async with (
        adapter.producer(endpoint) as producer,
        adapter.consumer(endpoint) as consumer,
        reading(consumer) as reader,
    ):
        yield producer, consumer, reader


async def publish_until_seen(producer, reader, topic, payload):
    """Publish until one arrives: the promise is at most once."""
    async with asyncio.timeout(DEADLINE_S):
        while payload not in reader.payloads:
            with contextlib.suppress(BrokerError):
                await producer.publish(topic, payload)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("READONLY You can't write against a read only replica.", CauseKind.ELSEWHERE),
        ("LOADING Redis is loading the dataset in memory", CauseKind.ELSEWHERE),
        ("MASTERDOWN Link with MASTER is down", CauseKind.ELSEWHERE),
        ("CLUSTERDOWN The cluster is down", CauseKind.ELSEWHERE),
        ("MOVED 3999 127.0.0.1:6381", CauseKind.ELSEWHERE),
        ("NOREPLICAS Not enough good replicas to write.", CauseKind.ELSEWHERE),
        ("UNBLOCKED force unblock from blocking operation", CauseKind.ELSEWHERE),
        ("OOM command not allowed when used memory > 'maxmemory'.", CauseKind.BLOCKED),
        ("NOAUTH Authentication required.", CauseKind.AUTHENTICATION),
        ("NOPERM this user has no permissions", CauseKind.PERMISSION),
        ("ERR max number of clients reached", CauseKind.LIMIT),
    ],
)
def test_the_servers_answer_decides_about_retrying(words, kind):
    """The error as redis-py raises it: its parser removes the first word if it has a type for it."""
    from redis.asyncio.connection import Connection

    error = Connection()._parser.parse_error(words)
    assert kind_of(error) is kind


@pytest.mark.parametrize("scheme", ["redis+sentinel", "redis+streams+sentinel"])
async def test_sentinel_names_the_primary_before_and_after_its_death(scheme, tmp_path):
    with watched(tmp_path) as servers:
        async with both(servers.url.replace("redis+sentinel", scheme)) as (producer, consumer, reader):
            assert not await consumer.subscribe("events")
            await publish_until_seen(producer, reader, "events", b"before")
            old = servers.primary()
            servers.kill(old)
            servers.running[servers.sentinels[0]].send_signal(signal.SIGKILL)  # with a Sentinel on its host
            await publish_until_seen(producer, reader, "events", b"after")
            assert servers.primary() != old
            assert reader.gaps


async def test_a_name_that_no_sentinel_knows_is_reported(tmp_path):
    with watched(tmp_path) as servers:
        adapter, endpoint = open_endpoint(servers.url.replace("/mymaster", "/other"))
        with pytest.raises(BrokerError, match=r"knows no primary 'other'.*name one that exists"):
            async with adapter.producer(endpoint):
                pass
        adapter, endpoint = open_endpoint(f"redis://127.0.0.1:{servers.sentinels[0]}")
        with pytest.raises(BrokerError, match=r"this is a Sentinel; write redis\+sentinel://"):
            async with adapter.producer(endpoint):
                pass


@pytest.mark.parametrize("answering", [2, 1])
async def test_a_sentinel_that_is_cut_off_is_outvoted_or_outdated(answering, tmp_path):
    """It is the first of the URL, and the primary on its side answers as one."""
    with split(tmp_path) as servers:
        servers.fail_over(servers.others[:answering])
        _, endpoint = open_endpoint(servers.url)
        connection = await open_connection(endpoint.at(endpoint.hosts[0]))
        assert connection.port == servers.new
        await close(connection)


@pytest.mark.parametrize("scheme", ["redis+sentinel", "redis+streams+sentinel"])
async def test_both_sides_leave_a_primary_that_was_cut_off_once_the_others_have_a_new_one(scheme, tmp_path):
    with split(tmp_path) as servers:
        async with both(servers.url.replace("redis+sentinel", scheme)) as (producer, consumer, reader):
            assert not await consumer.subscribe("events")
            await publish_until_seen(producer, reader, "events", b"before")
            servers.fail_over(servers.others)
            async with asyncio.timeout(DEADLINE_S):
                while not _has_seen(servers.new, scheme):
                    with contextlib.suppress(BrokerError):
                        await producer.publish("events", b"meanwhile")
                    await asyncio.sleep(0.05)
            await publish_until_seen(producer, reader, "events", b"after")


def _has_seen(port, scheme):
    """Whether the server at this port has been published to, and a consumer is there."""
    if "streams" in scheme:
        return ask(port, "EXISTS", "fanbench") and "cmd=xread" in ask(port, "CLIENT", "LIST")
    return ask(port, "PUBSUB", "NUMSUB", "events")[1] and "cmd=publish" in ask(port, "CLIENT", "LIST")


async def test_without_the_right_to_ask_for_the_failover_most_sentinels_decide(tmp_path):
    with split(tmp_path) as servers:
        servers.fail_over(servers.others)
        for port in (servers.lonely, *servers.others):
            rights = ["+auth", "+hello", "+ping", "+sentinel|get-master-addr-by-name"]
            ask(port, "ACL", "SETUSER", "app", "on", ">word", "-@all", *rights)
        (tmp_path / "word").write_text("word\n")
        options = f"?sentinel_user=app&sentinel_password_file={tmp_path / 'word'}"
        _, endpoint = open_endpoint(servers.url + options)
        connection = await open_connection(endpoint.at(endpoint.hosts[0]))
        assert connection.port == servers.new
        await close(connection)


async def test_a_sentinel_that_does_not_answer_is_not_waited_for(tmp_path):
    with split(tmp_path) as servers:
        servers.fail_over(servers.others)
        servers.running[servers.lonely].send_signal(signal.SIGSTOP)  # its kernel still accepts connections
        _, endpoint = open_endpoint(servers.url)
        connection = await open_connection(endpoint.at(endpoint.hosts[0]))
        assert connection.port == servers.new
        await close(connection)


@pytest.mark.parametrize("options", ["", "?pubsub=classic"])
async def test_a_cluster_delivers_topics_of_all_slots_and_comes_back_after_a_node_did(options, tmp_path):
    topics = [f"room-{number}" for number in range(24)]
    with cluster(tmp_path) as servers:
        hosts = ",".join(f"127.0.0.1:{port}" for port in servers.running)
        async with both(f"redis+cluster://{hosts}{options}") as (producer, consumer, reader):
            assert not await consumer.subscribe(*topics)
            for topic in topics:
                await producer.publish(topic, topic.encode())
            await reader.until(lambda: {m.topic for m in reader.messages} == {*topics}, "one of each topic")
            assert not reader.gaps
            killed = next(iter(servers.running))
            home = servers.folder / str(killed)
            servers.kill(killed)
            wait_until(lambda: servers.running[killed].returncode is not None, "the node's end")
            servers.start(killed, *_cluster_words(home))
            for topic in topics:
                await publish_until_seen(producer, reader, topic, f"again {topic}".encode())
            assert reader.gaps or options


async def test_messages_between_two_confirmations_are_kept(running_programs):
    """A new connection subscribes slot by slot, and the first topics are live before the last is confirmed."""
    endpoint = running_programs.workbench(find_contender("valkey")).endpoint()
    taken = []
    connection = await open_connection(endpoint)
    subscriber = Subscriber(connection, endpoint, CLASSIC, lambda *message: taken.append(message), lambda: None)
    await subscriber.subscribe(["between-a"], new=True)
    assert ask(endpoint.port, "PUBLISH", "between-a", "early") == 1
    await subscriber.subscribe(["between-b"], new=True)
    serving = asyncio.create_task(subscriber.serve())
    assert ask(endpoint.port, "PUBLISH", "between-b", "late") == 1
    await polled(lambda: len(taken) == 2, "both messages")
    assert taken == [("between-a", b"early"), ("between-b", b"late")]
    serving.cancel()
    await asyncio.wait([serving])
    await close(connection)


def _subscribers(port):
    return {line.split()[0] for line in ask(port, "CLIENT", "LIST", "TYPE", "PUBSUB").splitlines()}


async def test_the_topics_of_other_shards_continue_while_one_is_lost(tmp_path):
    topics = [f"room-{number}" for number in range(24)]
    with cluster(tmp_path) as servers:
        # The URL has only the lost node; the others are known from the slot map.
        killed, *others = servers.running
        ranges = ask(killed, "CLUSTER", "SLOTS")
        mine = next((first, last) for first, last, (_, port, *_), *_ in ranges if port == killed)
        lost = [topic for topic in topics if mine[0] <= int(ask(killed, "CLUSTER", "KEYSLOT", topic)) <= mine[1]]
        healthy = [topic for topic in topics if topic not in lost]
        assert lost
        assert healthy
        async with both(f"redis+cluster://127.0.0.1:{killed}") as (producer, consumer, reader):
            assert not await consumer.subscribe(*topics)
            before = {port: _subscribers(port) for port in others}
            servers.kill(killed)
            wait_until(lambda: servers.running[killed].returncode is not None, "the node's end")
            sent = []
            async with asyncio.timeout(DEADLINE_S):
                while not consumer.link.notice or len(sent) < 10 * len(healthy):
                    for topic in healthy:
                        sent.append(b"%d" % len(sent))
                        await producer.publish(topic, sent[-1])
                    with pytest.raises(BrokerError):
                        await producer.publish(lost[0], b"lost")
                    await asyncio.sleep(0.02)
            assert "1 of 3 shards are lost" in consumer.link.notice
            assert str(killed) in consumer.link.notice
            assert consumer.link.connected
            with pytest.raises(BrokerError, match="its shard is lost"):
                await consumer.subscribe(next(t for t in _names(mine, others[0]) if t not in topics))
            assert not await consumer.subscribe(next(t for t in _names((0, 16383), others[0], mine)))
            await reader.until(lambda: sent[-1] in reader.payloads, "the last message of the healthy shards")
            assert {*sent} <= {*reader.payloads}
            assert not reader.gaps
            assert {port: _subscribers(port) for port in others} == before
            servers.start(killed, *_cluster_words(servers.folder / str(killed)))
            for topic in lost:
                await publish_until_seen(producer, reader, topic, f"again {topic}".encode())
            assert {gap.topic for gap in reader.gaps} == {*lost}
            assert not consumer.link.notice


def _names(slots, port, but=(1, 0)):
    """Topics whose slots are in the first set and not in the second, according to a living node."""
    for number in range(10_000):
        slot = int(ask(port, "CLUSTER", "KEYSLOT", f"later-{number}"))
        if slots[0] <= slot <= slots[1] and not but[0] <= slot <= but[1]:
            yield f"later-{number}"


def _cluster_words(home):
    return ["--cluster-enabled", "yes", "--cluster-port", _bus_port(home), "--cluster-node-timeout", "2000"]


def _bus_port(home):
    for line in (home / "nodes.conf").read_text().splitlines():
        if "myself" in line:
            return line.split()[1].partition("@")[2].partition(",")[0]
    raise AssertionError("nodes.conf does not name the node itself")


async def test_a_stream_on_a_cluster_follows_its_slot(tmp_path):
    with cluster(tmp_path) as servers:
        url = f"redis+streams+cluster://127.0.0.1:{next(iter(servers.running))}?stream=anything"
        async with both(url) as (producer, consumer, reader):
            await consumer.subscribe("events")
            await publish_until_taken(producer, "events", b"there")
            await reader.until(lambda: b"there" in reader.payloads, "the message")


@pytest.mark.parametrize("scheme", ["unix", "redis+unix", "redis+streams+unix"])
async def test_a_unix_socket(scheme, tmp_path):
    socket = tmp_path / "valkey.sock"
    command = [valkey.require(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", tmp_path]
    child = spawn("valkey", command, tmp_path / "log")
    try:
        wait_until(socket.exists, "the socket", 20)
        async with both(f"{scheme}://{socket}?db=3") as (producer, consumer, reader):
            await consumer.subscribe("events")
            await publish_until_taken(producer, "events", b"there")
            await reader.until(lambda: b"there" in reader.payloads, "the message")
    finally:
        child.kill()


async def test_a_missing_socket_is_reported_with_its_path(tmp_path):
    adapter, endpoint = open_endpoint(f"unix://{tmp_path}/none.sock")
    with pytest.raises(BrokerError, match=r"none\.sock.*; check the path of the socket"):
        async with adapter.producer(endpoint):
            pass


async def test_a_missing_password_is_found_when_dialling(tmp_path):
    port = free_port()
    child = spawn(
        "valkey", [valkey.require(), "--port", str(port), "--requirepass", "x", "--dir", tmp_path], tmp_path / "log"
    )
    try:
        wait_until(lambda: "Ready to accept" in (tmp_path / "log").read_text(), "the server", 20)
        for scheme in ("redis", "redis+streams"):
            adapter, endpoint = open_endpoint(f"{scheme}://127.0.0.1:{port}")
            for side in (adapter.producer, adapter.consumer):
                with pytest.raises(BrokerError, match="password in the URL") as raised:
                    async with side(endpoint):
                        pass
                assert raised.value.kind is CauseKind.AUTHENTICATION
    finally:
        child.kill()


@pytest.mark.parametrize("right", ["xread", "xadd", "xinfo"])
async def test_a_missing_right_on_the_stream_is_reported(right, running_programs):
    """A side notices this when it connects or publishes; a consumer that could read nothing is not connected."""
    workbench = running_programs.workbench(find_contender("valkey-streams"))
    plain = workbench.endpoint()
    ask(plain.port, "ACL", "SETUSER", f"no-{right}", "on", ">word", "~*", "+@all", f"-{right}")
    endpoint = workbench.endpoint(with_credentials(plain.url, f"no-{right}", "word"))

    async def use():
        if right == "xadd":
            async with workbench.producer(endpoint) as producer:
                await producer.publish("events", b"no")
        async with workbench.reader(endpoint=endpoint):
            pass

    with pytest.raises(BrokerError, match=rf"(?i)no permissions to run the '{right}.*grant it to this user") as raised:
        await use()
    assert raised.value.kind is CauseKind.PERMISSION


async def test_a_key_of_another_type_is_reported(running_programs):
    workbench = running_programs.workbench(find_contender("valkey-streams"))
    ask(workbench.endpoint().port, "SET", "a-string", "word")
    endpoint = workbench.endpoint(stream="a-string")
    with pytest.raises(BrokerError, match="WRONGTYPE") as raised:
        async with workbench.reader(endpoint=endpoint):
            pass
    assert raised.value.kind is CauseKind.CONFLICT
    async with workbench.producer(endpoint) as producer:
        with pytest.raises(BrokerError, match="WRONGTYPE"):
            await producer.publish("events", b"no")


async def test_foreign_entries_are_skipped(running_programs):
    workbench = running_programs.workbench(find_contender("valkey-streams"))
    endpoint = workbench.endpoint(stream="poisoned")
    async with (
        workbench.producer(endpoint) as producer,
        workbench.reader("events", endpoint=endpoint) as (consumer, reader),
    ):
        port = workbench.endpoint().port
        for fields in (
            ["other", "1"],
            ["topic", "x"],
            ["topic", b"\xff\xfe", "payload", "p"],
            ["topic", "x", "body", "p"],
        ):
            ask(port, "XADD", "poisoned", "*", *fields)
        await publish_until_taken(producer, "events", b"after the poison")
        await reader.until(lambda: b"after the poison" in reader.payloads, "what came after it")
        assert not reader.gaps
        assert sum(consumer.link.skipped.values()) == 4


async def test_a_server_that_lost_its_last_entries_sends_nothing_old(tmp_path):
    """It comes back with older data: a Gap, then the new entries."""
    port = free_port()

    def start():
        words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tmp_path, "--dbfilename", "d.rdb"]
        child = spawn("valkey", [valkey.require(), *words], tmp_path / "log")
        wait_until(lambda: _answers(port), "the server", 20)
        return child

    child = start()
    try:
        for number in range(50):
            ask(port, "XADD", "fanbench", "*", "topic", "events", "payload", f"old {number}")
        async with both(f"redis+streams://127.0.0.1:{port}") as (producer, consumer, reader):
            await consumer.subscribe("events")
            ask(port, "SAVE")
            for number in range(50):
                await publish_until_taken(producer, "events", b"seen %d" % number)
            await reader.until(lambda: b"seen 49" in reader.payloads, "what was published")
            child.kill()
            child = start()
            await publish_until_taken(producer, "events", b"new")
            await reader.until(lambda: b"new" in reader.payloads, "what is new")
            assert not [payload for payload in reader.payloads if payload.startswith(b"old")]
            assert len(reader.payloads) == len({*reader.payloads})
            assert any(isinstance(gap, Gap) and gap.lost is None for gap in reader.gaps)
    finally:
        child.kill()


def _answers(port):
    try:
        return ask(port, "PING") == "PONG"
    except Exception:
        return False


async def test_hello_is_not_needed(tmp_path):
    """A user who may only publish and subscribe."""
    port = free_port()
    users = tmp_path / "users.acl"
    users.write_text("user default off\nuser app on >secret allchannels -@all +publish +subscribe +unsubscribe\n")
    command = [
        valkey.require(),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--aclfile",
        users,
        "--save",
        "",
        "--dir",
        tmp_path,
    ]
    child = spawn("valkey", command, tmp_path / "log")
    try:
        wait_until(lambda: "Ready to accept" in (tmp_path / "log").read_text(), "the server", 20)
        async with both(f"redis://app:secret@127.0.0.1:{port}") as (producer, consumer, reader):
            await consumer.subscribe("events")
            await publish_until_taken(producer, "events", b"one")
            await reader.until(lambda: b"one" in reader.payloads, "the message")
    finally:
        child.kill()
