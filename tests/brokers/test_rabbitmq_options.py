"""Each option of RabbitMQ's adapters has the effect at the broker that docs/brokers.md promises."""

import asyncio

import pytest

from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.programs.rabbitmq import evaluate
from core.errors import UsageError


@pytest.fixture
def workbench(request, running_programs):
    return running_programs.workbench(find_contender(getattr(request, "param", "rabbitmq")))


def ask(workbench, expression):
    return evaluate(workbench.endpoint().port, expression)


async def round_trip(workbench, **options):
    topic, endpoint = workbench.topic(), workbench.endpoint(**options)
    async with workbench.producer(endpoint) as producer, workbench.reader(topic, endpoint=endpoint) as (_, reader):
        await producer.publish(topic, b"one")
        await reader.count(1)
        assert reader.payloads == [b"one"]


async def refused(workbench, **options):
    with pytest.raises(BrokerError) as caught:
        await round_trip(workbench, **options)
    return caught.value


@pytest.mark.parametrize("workbench", ["rabbitmq", "rabbitmq-confirms"], indirect=True)
@pytest.mark.parametrize("kind", ["direct", "topic", "fanout"])
async def test_the_exchange_may_be_of_another_type(workbench, kind):
    await round_trip(workbench, exchange=f"options.{kind}", exchange_type=kind)
    if kind != "direct":
        assert (await refused(workbench, exchange=f"options.{kind}")).kind is CauseKind.CONFLICT


async def test_a_topic_exchange_refuses_wildcards_as_topics(workbench):
    endpoint = workbench.endpoint(exchange="options.topic", exchange_type="topic")
    async with workbench.reader(endpoint=endpoint) as (consumer, _):
        answer = await consumer.subscribe("a.*", "#", "a.b", "a*")
    assert {*answer} == {"a.*", "#"}
    assert {refusal.kind for refusal in answer.values()} == {"invalid"}


@pytest.mark.parametrize("workbench", ["rabbitmq", "rabbitmq-stream"], indirect=True)
async def test_passive_uses_existing_objects_and_creates_nothing(workbench):
    name = "stream" if workbench.adapter.replay else "exchange"
    unknown = await refused(workbench, passive="true", **{name: "options.nothing"})
    assert unknown.kind is CauseKind.NOT_FOUND
    assert "options.nothing" in str(unknown)
    other = {"max_age": "1h"} if workbench.adapter.replay else {"exchange_type": "topic"}
    await round_trip(workbench, **{name: f"options.passive-{name}"}, **other)
    await round_trip(workbench, passive="true", **{name: f"options.passive-{name}"})


async def test_a_user_who_may_only_read_reads_a_stream(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-stream"))
    topic, name = workbench.topic(), "options.read"
    for call in (
        'add_user(<<"reader">>, <<"secret">>, <<"tests">>)',
        'set_permissions(<<"reader">>, <<"/">>, <<"^$">>, <<"^$">>, <<".*">>, <<"tests">>)',
    ):
        ask(workbench, f"ok = rabbit_auth_backend_internal:{call}.")
    address = workbench.endpoint().hosts[0]
    reading = workbench.endpoint(f"amqp+stream://reader:secret@{address}?stream={name}&passive=true")
    async with workbench.producer(workbench.endpoint(stream=name)) as producer:
        await producer.publish(topic, b"before")
        async with workbench.reader(topic, endpoint=reading) as (consumer, reader):
            await producer.publish(topic, b"live")
            await reader.count(1)
            assert reader.payloads == [b"live"]
            await consumer.unsubscribe(topic)
            await consumer.subscribe(topic, since_ns=0)
            await reader.until(lambda: b"before" in reader.payloads, "the history")
        async with workbench.producer(reading) as forbidden:
            with pytest.raises(BrokerError, match=r"access to exchange 'options\.read'") as caught:
                await forbidden.publish(topic, b"no")
            assert caught.value.kind is CauseKind.PERMISSION


async def test_queues_with_confirms_may_be_quorum_queues(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-confirms"))
    endpoint = workbench.endpoint(run_name="options-quorum", queue_type="quorum")
    async with workbench.reader(workbench.topic(), endpoint=endpoint):
        kinds = await asyncio.to_thread(ask, workbench, '[amqqueue:get_type(Q) || Q <- rabbit_amqqueue:list(<<"/">>)].')
        assert "rabbit_quorum_queue" in kinds
    await round_trip(workbench, queue_type="quorum")
    await workbench.adapter.clean_up(endpoint)


async def test_a_stream_keeps_its_configured_length(running_programs):
    workbench = running_programs.workbench(find_contender("rabbitmq-stream"))
    await round_trip(workbench, stream="options.age", max_age="1h", bytes=2_000_000)
    for other in ({"max_age": "2h", "bytes": 2_000_000}, {"max_age": "1h", "bytes": 3_000_000}):
        assert (await refused(workbench, stream="options.age", **other)).kind is CauseKind.CONFLICT


async def test_the_broker_is_asked_for_the_configured_heartbeat(workbench):
    async with workbench.producer(workbench.endpoint(heartbeat=17)):
        expression = "[rabbit_reader:info(P, [timeout]) || P <- rabbit_networking:local_connections()]."
        found = await asyncio.to_thread(ask, workbench, expression)
        assert "[{timeout,17}]" in found.replace(" ", "")


@pytest.mark.parametrize(("option", "says"), [("heartbeet=3", "heartbeat"), ("queue_type=quorom", "quorum")])
def test_an_unknown_option_is_refused_with_the_nearest_name(workbench, option, says):
    name, _, value = option.partition("=")
    with pytest.raises(UsageError, match=says):
        workbench.endpoint(**{name: value})
