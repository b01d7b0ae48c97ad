"""The errors of all adapters: the cause, the next step, and what it means for the connection."""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
from collections.abc import Iterator
from typing import Literal, NamedTuple

from brokers.endpoint import Endpoint
from core.errors import FanbenchError

_SHOWN = 60


class Reaction(enum.StrEnum):
    """What an error means for its connection."""

    GONE = "gone"
    """The connection is useless: drop it, resolve the name again and dial again."""
    REFUSED = "refused"
    """The connection works; the request itself is wrong."""
    TRANSIENT = "transient"
    """The connection works, and the request may succeed later."""


class CauseKind(enum.StrEnum):
    """The causes that a person can distinguish and act on."""

    UNREACHABLE = "unreachable"
    SILENT = "no answer"
    LOST = "connection lost"
    ELSEWHERE = "not here any more"
    """A demoted or stopping server, a node that is down, a session that was taken over."""
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    """It exists with other settings."""
    LIMIT = "limit"
    BLOCKED = "blocked"
    """The broker accepts nothing for now: an alarm, a full disk, data that is still loading."""
    INVALID = "invalid"
    TLS_UNTRUSTED = "certificate of an unknown authority"
    TLS_NAME = "certificate of another name"
    TLS_EXPIRED = "certificate out of date"
    TLS_CLIENT = "certificate of the client"
    WRONG_PROTOCOL = "wrong protocol"
    UNKNOWN = "unknown"


_MEANING: dict[CauseKind, tuple[Reaction, str]] = {
    CauseKind.UNREACHABLE: (Reaction.GONE, "check host and port, and that the broker runs"),
    CauseKind.SILENT: (Reaction.TRANSIENT, "check host and port, and that the broker is up and not overloaded"),
    CauseKind.LOST: (Reaction.GONE, "it reconnects automatically: try again once the broker is back"),
    CauseKind.ELSEWHERE: (Reaction.GONE, "it reconnects automatically: try again in a moment"),
    CauseKind.AUTHENTICATION: (Reaction.REFUSED, "check the user and the password in the URL, or in its password_file"),
    CauseKind.PERMISSION: (Reaction.REFUSED, "grant it to this user at the broker, or use another user"),
    CauseKind.NOT_FOUND: (Reaction.REFUSED, "name one that exists, or create it"),
    CauseKind.CONFLICT: (Reaction.REFUSED, "it exists with other settings: use those, or another name"),
    CauseKind.LIMIT: (Reaction.REFUSED, "raise that limit at the broker, or use less of it"),
    CauseKind.BLOCKED: (Reaction.TRANSIENT, "wait until the broker accepts messages again; its log shows the reason"),
    CauseKind.INVALID: (Reaction.REFUSED, "use another name"),
    CauseKind.TLS_UNTRUSTED: (Reaction.REFUSED, "give its certificate authority with ?ca_file=PATH"),
    CauseKind.TLS_NAME: (
        Reaction.REFUSED,
        "connect by a name in the certificate, or give that name with ?server_name=NAME",
    ),
    CauseKind.TLS_EXPIRED: (
        Reaction.REFUSED,
        "renew the broker's certificate, or correct this host's clock",
    ),
    CauseKind.TLS_CLIENT: (
        Reaction.REFUSED,
        "give a certificate that the broker trusts with ?cert_file=PATH&key_file=PATH",
    ),
    CauseKind.WRONG_PROTOCOL: (Reaction.REFUSED, "check the port, and whether it uses TLS as the scheme says"),
    CauseKind.UNKNOWN: (Reaction.REFUSED, "see the broker's log"),
}

_WORDS: tuple[tuple[CauseKind, tuple[str, ...]], ...] = (
    (CauseKind.TLS_NAME, ("hostname mismatch", "ip address mismatch", "doesn't match")),
    (CauseKind.TLS_EXPIRED, ("certificate has expired", "certificate is not yet valid")),
    (CauseKind.TLS_CLIENT,
     ("certificate required", "certificate_required", "bad certificate", "bad_certificate", "alert unknown ca", "alert_unknown_ca",
      "alert certificate", "alert_certificate", "alert unsupported certificate", "alert_unsupported_certificate")),
    (CauseKind.TLS_UNTRUSTED, ("certificate verify failed", "self-signed", "unable to get local issuer")),
    (CauseKind.WRONG_PROTOCOL, ("wrong version number", "wrong_version_number", "unknown protocol", "record layer")),
    (CauseKind.CONFLICT, ("precondition_failed", "precondition failed")),
    (CauseKind.PERMISSION, ("noperm", "permission", "access to vhost")),
    (CauseKind.AUTHENTICATION,
     ("wrongpass", "noauth", "password", "authent", "authoriz", "authoris", "login", "access_refused", "credential")),
    (CauseKind.NOT_FOUND, ("not_found", "not found", "does not exist")),
    (CauseKind.TLS_UNTRUSTED, ("certificate",)),
    (CauseKind.WRONG_PROTOCOL, ("ssl", "tls")),
    (CauseKind.UNREACHABLE,
     ("connection refused", "connect call failed", "name or service not known", "nodename nor servname", "name resolution", "no route to host",
      "unreachable")),
    (CauseKind.LOST, ("connection reset", "broken pipe", "connection lost", "connection closed", "not connected")),
)  # fmt: skip
"""The last resort, in this order, for libraries with one exception type for many causes."""


_LASTING = {
    CauseKind.AUTHENTICATION,
    CauseKind.PERMISSION,
    CauseKind.NOT_FOUND,
    CauseKind.CONFLICT,
    CauseKind.INVALID,
    CauseKind.TLS_UNTRUSTED,
    CauseKind.TLS_NAME,
    CauseKind.TLS_EXPIRED,
    CauseKind.TLS_CLIENT,
    CauseKind.WRONG_PROTOCOL,
}
"""Permanent causes: a retry fails again. With all others, the broker may come back."""


def reaction_to(kind: CauseKind) -> Reaction:
    """What a cause means for the connection."""
    return _MEANING[kind][0]


def next_step(kind: CauseKind) -> str:
    """The next step for a cause."""
    return _MEANING[kind][1]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its chain of causes, explicit or implicit."""
    for _ in range(8):
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


_BY_VERIFY_CODE = {
    62: CauseKind.TLS_NAME,
    64: CauseKind.TLS_NAME,
    9: CauseKind.TLS_EXPIRED,  # not yet valid
    10: CauseKind.TLS_EXPIRED,
}
"""The kinds by OpenSSL's result of the verification (X509_V_ERR_...)."""


def _of_ssl(error: ssl.SSLError) -> CauseKind | None:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return CauseKind.LOST
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_VERIFY_CODE.get(error.verify_code, CauseKind.TLS_UNTRUSTED)
    return None


def standard_kind(error: BaseException) -> CauseKind:
    """The kind by the standard library's types, or by the error's text; adapters check their library's types first."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, ssl.SSLError) and (found := _of_ssl(link)) is not None:
            return found
    for link in chain:
        words = str(link).lower()
        for kind, known in _WORDS:
            if any(word in words for word in known):
                return kind
    for link in chain:
        if isinstance(link, TimeoutError):
            return CauseKind.SILENT
        if isinstance(link, ConnectionRefusedError | socket.gaierror):
            return CauseKind.UNREACHABLE
        if isinstance(link, ConnectionError | EOFError | asyncio.IncompleteReadError):
            return CauseKind.LOST
        if isinstance(link, OSError):
            return CauseKind.UNREACHABLE
    return CauseKind.UNKNOWN


def shown(topic: str) -> str:
    """Format a topic for an error: quoted, and shortened if it is long."""
    word = str(topic)
    return repr(word if len(word) <= _SHOWN else word[: _SHOWN - 1] + "…")


class BrokerError(FanbenchError):
    """A broker failed to do something: the broker, the action, the cause and the next step, in one line."""

    def __init__(
        self,
        endpoint: Endpoint,
        action: str,
        cause: str,
        kind: CauseKind = CauseKind.UNKNOWN,
        step: str = "",
    ) -> None:
        """Give `step` only if the kind's own next step would be wrong."""
        cause = endpoint.hide_secrets(cause)
        if kind is CauseKind.UNREACHABLE and endpoint.hosts and endpoint.hosts[0].is_path:
            step = step or "check the path of the socket, and that the broker runs"
        super().__init__(f"{endpoint}: cannot {action}: {cause}; {step or next_step(kind)}")
        self.endpoint = endpoint
        self.action = action
        self.cause = cause
        self.kind = kind
        self.transient = kind not in _LASTING


RefusalKind = Literal["forbidden", "invalid"]


class Refusal(NamedTuple):
    """Why a topic cannot be used."""

    kind: RefusalKind
    """`forbidden` by the broker's permissions; `invalid`: over the protocol's limit, or not a valid name."""
    reason: str
    """In the broker's own words, or the client library's."""

    @property
    def cause(self) -> CauseKind:
        """The kind of cause that corresponds to it."""
        return CauseKind.PERMISSION if self.kind == "forbidden" else CauseKind.INVALID


def refusal_of(kind: CauseKind, words: str) -> Refusal | None:
    """The refusal that an error expresses, or None if it is not about the topic."""
    kinds: dict[CauseKind, RefusalKind] = {CauseKind.PERMISSION: "forbidden", CauseKind.INVALID: "invalid"}
    return Refusal(kinds[kind], words) if kind in kinds else None


class TopicRefusedError(BrokerError):
    """A topic cannot be used; the connection and other topics are not affected."""

    def __init__(self, endpoint: Endpoint, action: str, topic: str, refusal: Refusal) -> None:
        super().__init__(endpoint, f"{action} {shown(topic)}", f"{refusal.kind}: {refusal.reason}", refusal.cause)
        self.topic = topic
        self.refusal = refusal._replace(reason=endpoint.hide_secrets(refusal.reason))


def refuse_history(endpoint: Endpoint, since_ns: int | None) -> None:
    """Refuse `since_ns`, for adapters without replay.

    Raises:
        BrokerError: history is requested.
    """
    if since_ns is not None:
        step = "use one with replay, see docs/brokers.md"
        raise BrokerError(endpoint, "replay", "this adapter keeps no history", CauseKind.INVALID, step)
