"""Makes an aiomqtt client for an endpoint and a plan; it is not connected yet."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from typing import Any

from aiomqtt import Client, ProtocolVersion
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from brokers.endpoint import Endpoint
from brokers.reconnect import heartbeat_s
from brokers.tls import tls_context
from core.errors import UsageError

PORTS = {"mqtt": 1883, "mqtts": 8883, "mqtt+ws": 80, "mqtt+wss": 443}
TLS_SCHEMES = ("mqtts", "mqtt+wss")
MAX_PACKET_BYTES = 268_435_455
HEADERS_BYTES = 16
"""The largest overhead of a publish, without topic and payload."""
IN_FLIGHT = 64
"""The largest number of publishes in flight; the broker may require fewer."""
WEBSOCKET_PATH = "mqtt"
"""The path if the URL has none: brokers that look at the path accept it."""


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """Which client connects, and with which session."""

    identifier: str
    version: int
    """3 for MQTT 3.1.1, or 5."""
    expiry_s: int | None = None
    """How long the broker keeps the session after the connection is lost; None if it ends with the connection."""
    clean: bool = True
    """Whether the broker discards an existing session of this name."""


def properties_of(packet: int, **values: Any) -> Properties:
    """Properties of a packet of MQTT 5."""
    properties = Properties(packet)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def new_client(endpoint: Endpoint, plan: ClientPlan, logger: logging.Logger) -> Client:
    """Over TCP or WebSocket, with or without TLS, depending on the scheme."""
    v5 = plan.version == 5
    if endpoint.path and "+ws" not in endpoint.scheme:
        raise UsageError(f"{endpoint}: path '{endpoint.path}' has no meaning with {endpoint.scheme}://; leave it out")
    expires = v5 and plan.expiry_s is not None
    return Client(
        endpoint.host,
        endpoint.port or PORTS[endpoint.scheme],
        username=endpoint.username,
        password=endpoint.password,
        identifier=plan.identifier,
        protocol=ProtocolVersion.V5 if v5 else ProtocolVersion.V311,
        clean_session=None if v5 else plan.clean,
        clean_start=plan.clean if v5 else MQTT_CLEAN_START_FIRST_ONLY,
        properties=properties_of(PacketTypes.CONNECT, SessionExpiryInterval=plan.expiry_s) if expires else None,
        transport="websockets" if "+ws" in endpoint.scheme else "tcp",
        websocket_path=f"/{endpoint.path or WEBSOCKET_PATH}",
        timeout=endpoint.timeout_s,
        keepalive=max(1, round(2 * heartbeat_s(endpoint))),
        max_inflight_messages=IN_FLIGHT,
        tls_context=tls_context(endpoint) if endpoint.scheme in TLS_SCHEMES else None,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=logger,
    )
