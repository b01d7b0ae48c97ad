"""The sessions of a run: how they end, and how `clean_up` finds the sessions of killed replicas.

MQTT cannot list sessions. A run with a name therefore notes each session as a retained message, which also expires.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace

from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, standard_kind
from brokers.mqtt_client import ClientPlan
from brokers.mqtt_codes import kind_of
from brokers.mqtt_link import Connection, MqttError, connect, disconnect
from brokers.reconnect import finish, quietly, reason

_NOTE_EXPIRY_S = 7 * 86_400
"""Longer than any run: a note remains only if clean_up never reached the broker."""


def _notes(endpoint: Endpoint) -> str:
    return f"{endpoint.prefix}/sessions"


async def note(connection: Connection, endpoint: Endpoint, plan: ClientPlan) -> None:
    """Note the session; if the user may not publish the note, the session must expire."""
    with contextlib.suppress(MqttError):
        await connection.publish(f"{_notes(endpoint)}/{plan.identifier}", b"session", 1, retain_s=_NOTE_EXPIRY_S)


async def forget(endpoint: Endpoint, plan: ClientPlan, *, noted: bool = False) -> None:
    """Remove a session and its queue from the broker: a client of the same name requests a clean session."""
    connection = await connect(Connection(endpoint, replace(plan, expiry_s=None, clean=True)))
    try:
        if noted:
            await connection.publish(f"{_notes(endpoint)}/{plan.identifier}", b"", 1, retain_s=0)
    finally:
        await finish(disconnect(connection))


async def clean_up(endpoint: Endpoint) -> None:
    """Remove the noted sessions of the endpoint's run from the broker.

    Raises:
        BrokerError: it does not answer.
    """
    try:
        async with asyncio.timeout(endpoint.timeout_s):
            for identifier in await _noted(endpoint):
                await forget(endpoint, ClientPlan(identifier, version=5), noted=True)
    except (MqttError, OSError, TimeoutError) as error:
        kind = kind_of(error) or standard_kind(error)
        raise BrokerError(endpoint, "clean up", reason(error), kind) from None


async def _noted(endpoint: Endpoint) -> list[str]:
    """The names of the run's sessions: all retained messages that arrive before one that we send ourselves."""
    end = f"end-{secrets.token_hex(7)}"
    found: list[str] = []
    complete = asyncio.Event()

    def take(name: str, payload: bytes) -> None:
        word = name.rpartition("/")[2]
        if word == end:
            complete.set()
        elif payload:
            found.append(word)

    plan = ClientPlan(f"{endpoint.prefix}-{end}", version=5)
    connection = await connect(Connection(endpoint, plan, take, history=True))
    try:
        if not await connection.subscribe([f"{_notes(endpoint)}/+"], 1):  # then it noted no session either
            await connection.publish(f"{_notes(endpoint)}/{end}", b"", 1)
            await complete.wait()
    finally:
        await finish(quietly(disconnect(connection), endpoint.timeout_s))
    return found
