"""Provokes MQTT brokers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aiomqtt import Client

from brokers.conformance.provocations import Pending, Provocations, Restricted
from brokers.endpoint import Endpoint
from brokers.mqtt import CLIENT_ID
from brokers.mqtt_client import ClientPlan
from brokers.mqtt_link import Connection, connect, disconnect
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.nats import config_text
from brokers.programs.probe import mqtt_answers
from brokers.programs.rabbitmq import evaluate, nodes, rabbitmq
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port, free_ports
from core.process import spawn

_ALLOWED = "ours/"
_MODULE = "mosquitto_dynamic_security.so"
_FOLDERS = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
_SALT, _ROUNDS = b"twelve bytes", 101


def _plugin() -> Path:
    """Find Mosquitto's permission plug-in: with an acl_file it confirms each subscription and then sends nothing."""
    for folder in _FOLDERS:
        for found in Path(folder).glob(f"**/{_MODULE}"):
            return found
    raise FileNotFoundError(f"{_MODULE} is in none of {', '.join(_FOLDERS)}; it comes with mosquitto 2")


def _rights() -> dict[str, Any]:
    key = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), _SALT, _ROUNDS)
    kinds = ("publishClientSend", "subscribePattern")
    rules = [{"acltype": kind, "topic": f"{_ALLOWED}#", "priority": 0, "allow": True} for kind in kinds]
    user = {
        "username": USER,
        "password": base64.b64encode(key).decode(),
        "salt": base64.b64encode(_SALT).decode(),
        "iterations": _ROUNDS,
        "roles": [{"rolename": "ours"}],
    }
    default = {"publishClientSend": False, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    return {"defaultACLAccess": default, "clients": [user], "roles": [{"rolename": "ours", "acls": rules}]}


@contextmanager
def _restricted(qos: int, folder: Path) -> Iterator[Restricted]:
    """A Mosquitto with a user who may use only topics that begin with `ours/`."""
    port = free_port()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rights, config = folder / "rights.json", folder / "restricted.conf"
    rights.write_text(json.dumps(_rights()), encoding="utf-8")
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous false", f"plugin {_plugin()}"]
    lines += [f"plugin_opt_config_file {rights}", *(["user root"] if os.geteuid() == 0 else []), ""]
    config.write_text("\n".join(lines), encoding="utf-8")
    command: list[str | Path] = [PROGRAMS["mosquitto"].require(), "-c", config]
    with _launched("mosquitto", command, port, folder) as url:
        yield Restricted(url, _ALLOWED, publish_is_answered=qos > 0)


@contextmanager
def _restricted_nats(folder: Path) -> Iterator[Restricted]:
    """A nats-server with the same permissions; it drops a forbidden publish, and acknowledges it with QoS 1."""
    port, mqtt_port = free_ports(2)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    subjects = [f"{_ALLOWED.replace('/', '.')}>", "$MQTT.>", "_INBOX.>"]
    user = {"user": USER, "password": PASSWORD, "permissions": {"publish": subjects, "subscribe": subjects}}
    settings = json.loads(config_text(["mqtt"], "127.0.0.1", port, mqtt_port, folder / "data"))
    config = folder / "restricted.conf"
    config.write_text(json.dumps(settings | {"authorization": {"users": [user]}}), encoding="utf-8")
    command: list[str | Path] = [PROGRAMS["nats"].require(), "-c", config]
    with _launched("nats", command, mqtt_port, folder) as url:
        yield Restricted(url, _ALLOWED, publish_is_answered=False)


_RABBITMQ_RIGHTS = f"""
catch rabbit_auth_backend_internal:add_user(<<"{USER}">>, <<"{PASSWORD}">>, <<"kit">>),
ok = rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"/">>, <<".*">>, <<".*">>, <<".*">>, <<"kit">>),
ok = rabbit_auth_backend_internal:set_topic_permissions(
    <<"{USER}">>, <<"/">>, <<"amq.topic">>, <<"^ours[.]">>, <<"^ours[.]">>, <<"kit">>).
"""


@contextmanager
def _restricted_rabbitmq(folder: Path) -> Iterator[Restricted]:
    """A RabbitMQ with the same permissions. Version 3 silently closes the connection instead of refusing a topic.

    It uses the node that started last if that speaks MQTT, because a start takes eight seconds of CPU; otherwise it starts one.
    """
    with contextlib.ExitStack() as stack:
        if not (nodes() and _mqtt_port(nodes()[-1])):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(rabbitmq.start(folder.resolve(), ["mqtt"]))
        port = nodes()[-1]
        evaluate(port, _RABBITMQ_RIGHTS)
        yield Restricted(f"mqtt://{USER}:{PASSWORD}@127.0.0.1:{_mqtt_port(port)}", _ALLOWED)


def _mqtt_port(port: int) -> str:
    """The port on which the node with this AMQP port listens for MQTT; '' if it does not."""
    return evaluate(port, "[P || {listener, _, mqtt, _, _, P, _} <- rabbit_networking:active_listeners()].").strip(
        " []\n"
    )


@contextmanager
def _launched(name: str, command: list[str | Path], port: int, folder: Path) -> Iterator[str]:
    running = Running(
        name=name,
        listeners={"mqtt": f"127.0.0.1:{port}"},
        data=folder / "data",
        spawn=lambda: spawn(name, command, folder / f"{name}.log", cwd=folder),
        ready=lambda: mqtt_answers(port),
    )
    with launch(running):
        yield f"mqtt://{USER}:{PASSWORD}@127.0.0.1:{port}"


async def _steal(endpoint: Endpoint, name: str) -> Connection:
    return await connect(Connection(endpoint, ClientPlan(name, version=3)))


async def _take_over_once(endpoint: Endpoint) -> None:
    """Request a clean session with the consumer's name: the consumer's session ends, and its queue with it."""
    await disconnect(await _steal(endpoint, endpoint.get(CLIENT_ID)))


@asynccontextmanager
async def _taken_over(endpoint: Endpoint) -> AsyncIterator[None]:
    """Have another client repeatedly take both names."""

    async def take_again(name: str) -> None:
        while True:
            connection = await _steal(endpoint, name)
            try:
                with contextlib.suppress(ConnectionError):
                    await connection.until_lost()
            finally:
                await disconnect(connection)

    name = endpoint.get(CLIENT_ID)
    tasks = [asyncio.create_task(take_again(taken)) for taken in (name, f"{name}-producer")]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _retained(endpoint: Endpoint) -> list[str]:
    """The remaining notes; tests/brokers/test_mqtt.py counts the sessions behind them."""
    found, end = list[str](), f"end/{endpoint.prefix}"
    async with Client(endpoint.host, endpoint.port or 0) as client:
        await client.subscribe([(f"{endpoint.prefix}/#", 1), (end, 1)])
        await client.publish(end, b"", qos=1)
        async for message in client.messages:
            if message.topic.value == end:
                break
            found.append(message.topic.value)
    return found


_COMMON = Provocations(
    vanish={"session taken over": _take_over_once},
    elsewhere=_taken_over,
    options={"client_id": "{run_name}-one"},
    inapplicable={"leftovers": "a session of QoS 0 ends with its connection"},
)
PROVOCATIONS = {
    "mosquitto": replace(_COMMON, restricted=partial(_restricted, 0)),
    "mosquitto-qos1": replace(_COMMON, restricted=partial(_restricted, 1), leftovers=_retained, inapplicable={}),
    "nats-mqtt": replace(_COMMON, restricted=_restricted_nats),
    "rabbitmq-mqtt": replace(_COMMON, restricted=_restricted_rabbitmq),
}
PENDING: Pending = {}
