"""The meaning of MQTT's reason codes. paho translates those of 3.1.1 to the equivalent ones of MQTT 5."""

from __future__ import annotations

from typing import Any

from aiomqtt import MqttCodeError, MqttError

from brokers.errors import CauseKind, Refusal, RefusalKind

REFUSED = 0x80
"""Codes from here on are refusals; a subscription under MQTT 3.1.1 has only this one, without text."""
NOT_AUTHORIZED = 0x87
TOO_LARGE = 0x95
_CONNECTION = {
    0x84: CauseKind.WRONG_PROTOCOL,  # unsupported protocol version
    0x85: CauseKind.INVALID,  # client identifier not valid
    0x86: CauseKind.AUTHENTICATION,  # bad user name or password
    NOT_AUTHORIZED: CauseKind.AUTHENTICATION,  # brokers also answer this to a wrong password
    0x88: CauseKind.BLOCKED,  # server unavailable
    0x89: CauseKind.BLOCKED,  # server busy
    0x8A: CauseKind.PERMISSION,  # banned
    0x8B: CauseKind.ELSEWHERE,  # server shutting down
    0x8C: CauseKind.AUTHENTICATION,  # bad authentication method
    0x8D: CauseKind.LOST,  # keep alive timeout
    0x8E: CauseKind.ELSEWHERE,  # session taken over
    TOO_LARGE: CauseKind.LIMIT,  # packet too large
    0x97: CauseKind.LIMIT,  # quota exceeded, of connections for instance
    0x98: CauseKind.ELSEWHERE,  # administrative action
    0x9C: CauseKind.ELSEWHERE,  # use another server
    0x9D: CauseKind.ELSEWHERE,  # server moved
    0x9F: CauseKind.LIMIT,  # connection rate exceeded
}
"""The codes of CONNACK, and of a broker's DISCONNECT."""
_TOPIC: dict[int, RefusalKind] = {
    0x8F: "invalid",  # topic filter invalid
    0x90: "invalid",  # topic name invalid
    0xA2: "invalid",  # wildcard subscriptions not supported
}
_PUBLISH = {
    NOT_AUTHORIZED: CauseKind.PERMISSION,
    0x90: CauseKind.INVALID,
    TOO_LARGE: CauseKind.LIMIT,
    0x97: CauseKind.LIMIT,
}


class PublishRefusedError(MqttError):
    """The broker refused a publish with a reason code."""

    def __init__(self, code: Any) -> None:
        super().__init__(words_of(code))
        self.kind = _PUBLISH.get(code_of(code), CauseKind.UNKNOWN)


class NoAnswerError(MqttError):
    """The broker closed the connection instead of answering CONNECT; perhaps its log says why."""

    def __init__(self) -> None:
        like = "as brokers do at their connection limit, or if they expect another protocol or TLS on this port"
        super().__init__(f"the broker closed the connection without an answer, {like}")


def code_of(code: Any) -> int:
    """The number of a reason code; paho gives an object, a number or nothing."""
    return int(getattr(code, "value", code) or 0)


def words_of(code: Any) -> str:
    """The code's name in the standard, and its number."""
    name = "Packet too large" if code == TOO_LARGE else str(code)
    return f"{name} (0x{code_of(code):02X})"


def kind_of(error: BaseException) -> CauseKind | None:
    """The kinds of aiomqtt's errors."""
    if isinstance(error, PublishRefusedError):
        return error.kind
    if isinstance(error, NoAnswerError):
        return CauseKind.UNKNOWN
    if isinstance(error, MqttCodeError):
        return _CONNECTION.get(code_of(error.rc))
    return CauseKind.INVALID if isinstance(error, ValueError) else None


def refusal_of_code(code: Any, qos: int = 0) -> Refusal | None:
    """The meaning of a SUBACK code for a requested `qos`; None for a confirmation."""
    value = code_of(code)
    if value < qos:
        return Refusal("forbidden", f"the broker grants QoS {value} although QoS {qos} was requested")
    if value < REFUSED:
        return None
    return Refusal(_TOPIC.get(value, "forbidden"), f"the broker refused the subscription: {words_of(code)}")
