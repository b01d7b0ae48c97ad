"""Provokes RabbitMQ (AMQP 0-9-1) as an operator would with rabbitmqctl."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.endpoint import RUN_NAME, Endpoint
from brokers.programs.rabbitmq import evaluate, nodes, rabbitmq
from brokers.programs.running import PASSWORD

_ALLOWED = "ours."
_USER, _EXCHANGE = "fanbench-restricted", "fanbench-restricted"
_GRANT = f"""
catch rabbit_auth_backend_internal:add_user(<<"{_USER}">>, <<"{PASSWORD}">>, <<"kit">>),
ok = rabbit_auth_backend_internal:set_permissions(
    <<"{_USER}">>, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"kit">>),
ok = rabbit_auth_backend_internal:set_topic_permissions(
    <<"{_USER}">>, <<"/">>, <<"{_EXCHANGE}">>, <<"^ours[.]">>, <<"^ours[.]">>, <<"kit">>).
"""
_QUEUES = """[Q || Q <- rabbit_amqqueue:list(<<"/">>),
    string:prefix(element(4, amqqueue:get_name(Q)), <<"NAME">>) =/= nomatch]"""
_DELETE = f'[rabbit_amqqueue:delete(Q, false, false, <<"kit">>) || Q <- {_QUEUES}], ok.'
_DELETE_EXCHANGE = """[rabbit_exchange:delete(element(2, E), false, <<"kit">>) || E <- rabbit_exchange:list(<<"/">>),
    string:prefix(element(4, element(2, E)), <<"NAME">>) =/= nomatch], ok."""
_LIST = """[binary_to_list(N) || {resource, _, _, N} <- [amqqueue:get_name(Q) || Q <- rabbit_amqqueue:list(<<"/">>)]
    ++ [element(2, E) || E <- rabbit_exchange:list(<<"/">>)], string:prefix(N, <<"NAME">>) =/= nomatch]."""
_CLOSE = """[catch rabbit_networking:close_connection(P, "moved away") || P <- rabbit_networking:local_connections(),
    {client_properties, Told} <- try rabbit_reader:info(P, [client_properties]) catch _:_ -> [] end,
    is_list(Told) andalso lists:member({<<"connection_name">>, longstr, <<"NAME">>}, Told)]"""
_KEEP_CLOSING = f"register(fanbench_closer, spawn(fun Loop() -> {_CLOSE}, timer:sleep(50), Loop() end))."
_STOP_CLOSING = "exit(whereis(fanbench_closer), kill)."


async def _asked(endpoint: Endpoint, expression: str) -> str:
    """Return the answer of the node that started last: the endpoint may go through a proxy, whose port belongs to no node."""
    known = nodes()
    port = endpoint.port if endpoint.port in known else known[-1]
    return await asyncio.to_thread(evaluate, port, expression.replace("NAME", endpoint.get(RUN_NAME)))


@contextmanager
def _restricted(folder: Path) -> Iterator[Restricted]:
    """A user who may only use topics that begin with `ours.`: RabbitMQ has such permissions for topic exchanges.

    It uses the node that started last, because a start takes eight seconds of CPU; if there is none, it starts one.
    """
    with ExitStack() as stack:
        known = nodes()
        if not known:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(rabbitmq.start(folder.resolve()))
            known = nodes()
        port = known[-1]
        evaluate(port, _GRANT)
        options = f"exchange={_EXCHANGE}&exchange_type=topic"
        yield Restricted(f"amqp://{_USER}:{PASSWORD}@127.0.0.1:{port}?{options}", _ALLOWED)


async def _delete_queues(endpoint: Endpoint) -> None:
    await _asked(endpoint, _DELETE)


async def _delete_exchange(endpoint: Endpoint) -> None:
    """Delete it with all its bindings: a producer recreates it, but its messages then reach no queue."""
    await _asked(endpoint, _DELETE_EXCHANGE)


async def _close_connections(endpoint: Endpoint) -> None:
    await _asked(endpoint, f"{_CLOSE}, ok.")


@asynccontextmanager
async def _elsewhere(endpoint: Endpoint) -> AsyncIterator[None]:
    """Close each connection by force, repeatedly, like a node in maintenance mode: 320 CONNECTION_FORCED."""
    await _asked(endpoint, _KEEP_CLOSING)
    try:
        yield
    finally:
        await _asked(endpoint, _STOP_CLOSING)


async def _leftovers(endpoint: Endpoint) -> list[str]:
    return re.findall(r'"([^"]+)"', await _asked(endpoint, _LIST))


_QUEUE = Provocations(
    restricted=_restricted,
    vanish={
        "its queue is deleted": _delete_queues,
        "its connection is closed by an operator": _close_connections,
        "its exchange is deleted": _delete_exchange,
    },
    elsewhere=_elsewhere,
    leftovers=_leftovers,
)
_STREAM = Provocations(
    vanish={
        "its stream is deleted": _delete_queues,
        "its connection is closed by an operator": _close_connections,
        "its exchange is deleted": _delete_exchange,
    },
    elsewhere=_elsewhere,
    leftovers=_leftovers,
    inapplicable={
        "restricted": "RabbitMQ has permissions per topic only for topic exchanges, and a stream uses a fanout exchange"
    },
)
PROVOCATIONS = {"rabbitmq": _QUEUE, "rabbitmq-confirms": _QUEUE, "rabbitmq-stream": _STREAM}
PENDING: Pending = {}
