"""RabbitMQ in production: alarms, permissions, limits, the loss of a queue's node, odd messages.

`evaluate` plays the operator: it makes the node do what rabbitmqctl would.
"""

import asyncio
import contextlib
import struct

import aiormq
import pytest
from aiormq.abc import ChannelFrame

from brokers.amqp_stream_reader import ACK_S
from brokers.conformance.faults import impatient, polled, publish_until_taken
from brokers.conformance.workbench import DEADLINE_S, with_credentials
from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.programs.rabbitmq import evaluate
from brokers.reconnect import heartbeat_s
from brokers.registry import open_endpoint

QUEUES = ("rabbitmq", "rabbitmq-confirms")
ALL = (*QUEUES, "rabbitmq-stream")
VHOST = "fanbench-faults"


@pytest.fixture
def workbench(request, running_programs):
    return running_programs.workbench(find_contender(request.param))


@pytest.fixture
def rabbitmq(running_programs):
    return running_programs.workbench(find_contender("rabbitmq"))


def ask(workbench, expression):
    return evaluate(workbench.endpoint().port, expression)


@contextlib.asynccontextmanager
async def alarm(workbench):
    """Ask in a thread: the broker gives up a client that sends no heartbeat for seconds."""
    await asyncio.to_thread(ask, workbench, "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).")
    try:
        yield
    finally:
        await asyncio.to_thread(ask, workbench, "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).")


async def stays_connected(*sides):
    """Longer than a side waits for its liveness check; a consumer gets the reason for the silence."""
    await polled(lambda: sides[-1].link.notice, "the consumer's notice of the alarm")
    assert "low on memory" in sides[-1].link.notice
    endpoint = sides[0].link.target
    changes = [asyncio.ensure_future(side.link.changed()) for side in sides]
    done, _ = await asyncio.wait(changes, timeout=2 * (heartbeat_s(endpoint) + endpoint.timeout_s))
    for change in changes:
        change.cancel()
    assert not done


@pytest.mark.parametrize("workbench", ["rabbitmq-confirms", "rabbitmq-stream"], indirect=True)
async def test_at_least_once_waits_for_the_end_of_an_alarm(workbench, caplog):
    topic, hasty = workbench.topic(), impatient(workbench.endpoint(), 2.0)
    async with workbench.producer(hasty) as producer, workbench.reader(topic, endpoint=hasty) as (consumer, reader):
        async with alarm(workbench):
            publishes = [asyncio.ensure_future(producer.publish(topic, b"%d" % i)) for i in range(100)]
            await stays_connected(producer, consumer)
            late = [asyncio.ensure_future(producer.publish(topic, b"%d" % i)) for i in range(100, 200)]
            await asyncio.sleep(0)
            async with workbench.reader(workbench.topic()):  # a replica that starts in the meantime
                assert not any(publish.done() for publish in publishes + late)
            assert "accepts no messages for now: low on memory" in caplog.text
        await asyncio.gather(*publishes, *late)
        await reader.count(200)
        assert reader.payloads == [b"%d" % i for i in range(200)]
        assert not reader.gaps
        await polled(lambda: not consumer.link.notice, "the end of the notice")
    assert "accepts messages again" in caplog.text


async def told(publish):
    try:
        await publish
    except BrokerError as error:
        return error
    return None


async def test_at_most_once_reports_what_an_alarm_drops(rabbitmq, caplog):
    topic, hasty = rabbitmq.topic(), impatient(rabbitmq.endpoint(), 2.0)
    async with rabbitmq.producer(hasty) as producer, rabbitmq.reader(topic, endpoint=hasty) as (consumer, reader):
        taken, dropped = [], 0
        async with alarm(rabbitmq):
            async with asyncio.timeout(DEADLINE_S):
                while dropped < 10:
                    payload = b"%d" % len(taken)
                    error = await told(producer.publish(topic, payload))
                    if error is None:
                        taken.append(payload)
                        await asyncio.sleep(0.01)
                    else:
                        assert error.kind is CauseKind.BLOCKED
                        assert "low on memory" in str(error)
                        dropped += 1
            await stays_connected(producer, consumer)
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message after it")
        assert reader.payloads == [*taken, b"after"]
        assert not reader.gaps
    assert "10 were dropped meanwhile" in caplog.text or "11 were dropped" in caplog.text


@pytest.fixture
def vhost(rabbitmq):
    ask(rabbitmq, f'rabbit_vhost:add(<<"{VHOST}">>, <<"tests">>).')
    yield VHOST
    ask(rabbitmq, f'rabbit_vhost:delete(<<"{VHOST}">>, <<"tests">>).')


async def refused(url):
    for name in ("producer", "consumer"):
        adapter, endpoint = open_endpoint(url)
        with pytest.raises(BrokerError) as caught:
            async with getattr(adapter, name)(endpoint):
                pass
    return caught.value


@pytest.mark.parametrize("scheme", ["amqp", "amqp+stream"])
async def test_a_refusal_has_the_brokers_words(scheme, rabbitmq, vhost):
    address = rabbitmq.endpoint().hosts[0]
    unknown = await refused(f"{scheme}://{address}/nowhere")
    assert unknown.kind is CauseKind.NOT_FOUND
    assert "NOT_ALLOWED - vhost nowhere not found; check the virtual host" in str(unknown)
    no_access = await refused(f"{scheme}://{address}/{vhost}")
    assert no_access.kind is CauseKind.PERMISSION
    assert f"access to vhost '{vhost}' refused for user 'guest'; grant it" in str(no_access)
    ask(rabbitmq, f'rabbit_vhost_limit:set(<<"{vhost}">>, [{{<<"max-connections">>, 0}}], <<"tests">>).')
    limited = await refused(f"{scheme}://{address}/{vhost}")
    assert limited.kind is CauseKind.LIMIT
    assert limited.transient
    assert "connection limit (0) is reached; raise that limit" in str(limited)
    login = await refused(with_credentials(f"{scheme}://{address}", "guest", "wrong-one"))
    assert login.kind is CauseKind.AUTHENTICATION
    assert "check the user and the password" in str(login)


LOSE_NODE = """
Gone = <<"gone@localhost">>,
Pid = binary_to_term(<<131, 88, 119, (byte_size(Gone)), Gone/binary, 1:32, 0:32, 1:32>>),
[Q] = [Q || Q <- rabbit_amqqueue:list(<<"/">>), string:prefix(element(4, amqqueue:get_name(Q)), <<"NAME">>) =/= nomatch],
ok = mnesia:dirty_write(rabbit_durable_queue, amqqueue:set_pid(Q, Pid)),
ok = mnesia:dirty_delete(rabbit_queue, amqqueue:get_name(Q)),
[rabbit_networking:close_connection(P, "node 'gone' stops") || P <- rabbit_networking:local_connections(),
    {client_properties, Told} <- rabbit_reader:info(P, [client_properties]),
    lists:member({<<"connection_name">>, longstr, <<"NAME">>}, Told)], ok.
"""
"""The node that holds the queue is lost, as the others see it: they keep only the durable record of its queues."""


async def test_a_queue_whose_node_is_down_is_left_behind(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-confirms"))
    topic, endpoint = workbench.topic(), workbench.endpoint(run_name="fanbench-lost-node")
    async with workbench.producer() as other, workbench.reader(topic, endpoint=endpoint) as (consumer, reader):
        async with workbench.producer(workbench.endpoint(exchange="fanbench-lost-node")) as producer:
            await producer.publish(topic, b"before")
            await reader.count(1)
            await asyncio.to_thread(ask, workbench, LOSE_NODE.replace("NAME", "fanbench-lost-node"))
            await reader.until(lambda: reader.gaps, "a Gap")
            await publish_until_taken(producer, topic, b"after")
            await reader.until(lambda: b"after" in reader.payloads, "a message after it")
            assert "CONNECTION_FORCED - node 'gone' stops" in reader.gaps[0].cause
        assert other.link.connected
        assert consumer.link.connected
    drop = "[mnesia:dirty_delete(rabbit_durable_queue, N) || N <- mnesia:dirty_all_keys(rabbit_durable_queue), "
    drop += 'string:prefix(element(4, N), <<"fanbench-lost-node">>) =/= nomatch], ok.'
    await asyncio.to_thread(ask, workbench, drop)
    await workbench.adapter.clean_up(endpoint)


ACK = struct.pack(">HH", 60, 80)
"""The class and the method of basic.ack."""


async def test_a_stream_also_acknowledges_less_than_a_bundle(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-stream"))
    topic, heard = workbench.topic(), bytearray()
    with workbench.proxy(tap=heard.extend) as (_, endpoint):
        async with workbench.producer() as producer, workbench.reader(topic, endpoint=endpoint) as (_, reader):
            heard.clear()
            await producer.publish(topic, b"one")
            await reader.count(1)
            async with asyncio.timeout(ACK_S + DEADLINE_S):
                while ACK not in heard:
                    await asyncio.sleep(0.05)


async def publish_oddly(workbench, exchange, routing_key, headers):
    """Publish what no client library would write."""

    def frame(kind, payload):
        return struct.pack(">BHL", kind, channel.number, len(payload)) + payload + b"\xce"

    def short(text):
        return bytes([len(text)]) + text

    endpoint = workbench.endpoint()
    async with aiormq.connect(f"amqp://{endpoint.host}:{endpoint.port}/") as connection:
        channel = await connection.channel(publisher_confirms=False)
        table = struct.pack(">L", len(headers)) + headers
        parts = [
            frame(1, struct.pack(">HHH", 60, 40, 0) + short(exchange.encode()) + short(routing_key) + b"\0"),
            frame(2, struct.pack(">HHQH", 60, 0, 3, 1 << 13) + table),
            frame(3, b"odd"),
        ]
        await channel.write_queue.put(ChannelFrame(payload=b"".join(parts), should_close=False, drain_future=None))
        await channel.basic_qos(prefetch_count=1)  # answered once it is published


NO_UTF8 = b"\x02\xff\xfeS\x00\x00\x00\x02ab"
NO_DATE = b"\x01kT" + b"\xff" * 8


@pytest.mark.parametrize("workbench", ALL, indirect=True)
@pytest.mark.parametrize("headers", [NO_UTF8, NO_DATE])
async def test_an_undecodable_header_stops_nobody(workbench, headers):
    topic = workbench.topic()
    name = "fanbench.stream" if workbench.adapter.replay else "fanbench"
    async with workbench.producer() as producer, workbench.reader(topic) as (_, reader):
        await producer.publish(topic, b"before")
        await reader.count(1)
        await publish_oddly(workbench, name, topic.encode(), headers)
        await reader.until(lambda: reader.gaps, "a Gap")
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message after it")


async def test_a_topic_that_is_not_utf8_stops_no_stream(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-stream"))
    topic = workbench.topic()
    async with workbench.producer() as producer, workbench.reader(topic) as (consumer, reader):
        await publish_oddly(workbench, "fanbench.stream", b"\xff\xfe", b"")
        await publish_until_taken(producer, topic, b"after")
        await reader.until(lambda: b"after" in reader.payloads, "a message after it")
        assert reader.gaps
        assert consumer.link.skipped == {"an entry that cannot be decoded": 1}
