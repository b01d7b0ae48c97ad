"""The kind of an error decides the next step and what it means for the connection."""

import socket
import ssl

import pytest

from brokers.endpoint import parse_url
from brokers.errors import BrokerError, CauseKind, Reaction, next_step, reaction_to, standard_kind

ENDPOINT = parse_url("amqp://u:hunter2@h", "at-most-once")


def verification(code):
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


def wrapped(error):
    """As a library raises it: in its own error, without a message."""
    outer = RuntimeError()
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(111, "Connection refused"), CauseKind.UNREACHABLE),
        (socket.gaierror(-2, "Name or service not known"), CauseKind.UNREACHABLE),
        (OSError(113, "No route to host"), CauseKind.UNREACHABLE),
        (ConnectionResetError(104, "Connection reset by peer"), CauseKind.LOST),
        (EOFError(), CauseKind.LOST),
        (TimeoutError(), CauseKind.SILENT),
        (verification(20), CauseKind.TLS_UNTRUSTED),
        (verification(62), CauseKind.TLS_NAME),
        (verification(64), CauseKind.TLS_NAME),
        (wrapped(verification(62)), CauseKind.TLS_NAME),
        (verification(10), CauseKind.TLS_EXPIRED),
        (verification(9), CauseKind.TLS_EXPIRED),
        (RuntimeError("certificate verify failed: certificate has expired (_ssl.c:992)"), CauseKind.TLS_EXPIRED),
        (wrapped(ConnectionRefusedError(111, "no")), CauseKind.UNREACHABLE),
        (ExceptionGroup("many", [ConnectionResetError()]), CauseKind.LOST),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), CauseKind.WRONG_PROTOCOL),
        (ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required"), CauseKind.TLS_CLIENT),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca"), CauseKind.TLS_CLIENT),
        (
            ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired"),
            CauseKind.TLS_CLIENT,
        ),
        (
            ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_UNKNOWN] sslv3 alert certificate unknown"),
            CauseKind.TLS_CLIENT,
        ),
        (RuntimeError("NOPERM this user has no permissions"), CauseKind.PERMISSION),
        (RuntimeError("NOT_FOUND - no queue 'x'"), CauseKind.NOT_FOUND),
        (RuntimeError("PRECONDITION_FAILED - inequivalent arg 'type'"), CauseKind.CONFLICT),
        (RuntimeError("WRONGPASS invalid username-password pair"), CauseKind.AUTHENTICATION),
        (RuntimeError("Connection Refused: not authorised."), CauseKind.AUTHENTICATION),
        (RuntimeError("[Errno -2] Name or service not known"), CauseKind.UNREACHABLE),
        (RuntimeError("Connection Refused: broker unavailable."), CauseKind.UNREACHABLE),
        (RuntimeError("Connection reset by peer"), CauseKind.LOST),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), CauseKind.LOST),
        (ConnectionError("[Errno 111] Connect call failed ('::1', 1, 0, 0)"), CauseKind.UNREACHABLE),
        (RuntimeError("something else"), CauseKind.UNKNOWN),
    ],
    ids=lambda value: str(value)[:40],
)
def test_kinds(error, kind):
    assert standard_kind(error) is kind


def test_every_kind_has_a_step_and_a_reaction():
    for kind in CauseKind:
        assert next_step(kind)
        assert isinstance(reaction_to(kind), Reaction)
    assert reaction_to(CauseKind.ELSEWHERE) is Reaction.GONE


def test_the_next_step_fits_the_cause():
    said = str(BrokerError(ENDPOINT, "declare", "no permission", CauseKind.PERMISSION))
    assert said.endswith("no permission; grant it to this user at the broker, or use another user")
    assert "password" not in said
