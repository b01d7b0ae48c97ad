"""Replicas that somebody else runs: reads their reports, and waits until all serve a run's broker."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException

from brokers.endpoint import Endpoint
from brokers.registry import open_endpoint
from core.contracts.codec import DocumentError, decode
from core.contracts.replica_stats import ReplicaStats
from core.errors import FanbenchError, TransientError
from core.plain_text import plain

READY_TIMEOUT_S = 120.0
"""Counted from the end of `--deploy`: hosts may pull images first, and start replicas one by one."""
_POLL_S = 0.25
_ANSWER_S = 10.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a replica sends none, and urllib would pass the token on to another host."""

    def redirect_request(self, *_: object) -> None:
        """Follow no redirect, so that the status is an error."""


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
"""Ignores http_proxy, as the clients do."""


class NotReadyError(TransientError):
    """A replica is not ready; the message contains its answer and the next step."""

    def __init__(self, words: str, *, lasting: bool = False) -> None:
        """`lasting`: it will not become ready unless the deployment or the command line changes."""
        super().__init__(words)
        self.lasting = lasting


_LASTING = (301, 302, 303, 307, 308, 401, 403, 404)
"""The statuses of another service, and of a replica that requires a token."""
ASKS = 8
"""How often a ready address is asked again: two replicas behind it, chosen at random, give the same name once in 128 times."""


@dataclass(slots=True)
class ReplicaElsewhere:
    """One replica, at the address where fanbench queries it."""

    url: str
    token: str = ""
    before: ReplicaStats | None = None
    """Its counts at the start of the run: it may have served an earlier one."""

    def ask(self, path: str) -> bytes:
        """Return its answer at a path.

        Raises:
            NotReadyError: it does not answer, or answers with an error.
        """
        # The URL comes from --replicas-at, which allows only http://.
        request = urllib.request.Request(self.url + path)  # noqa: S310
        if self.token:
            # http.client sends Latin-1; a token may be any text, and replicas read UTF-8.
            request.add_header("Authorization", f"Bearer {self.token}".encode().decode("latin-1"))
        try:
            with _DIRECT.open(request, timeout=_ANSWER_S) as response:
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            raise NotReadyError(
                f"{self.url}{path} answered {error.code}{_why(error)}", lasting=error.code in _LASTING
            ) from error
        except HTTPException as error:  # not HTTP, or a replica that ended during its answer
            raise NotReadyError(
                f"{self.url}{path} gave no whole HTTP answer ({plain(repr(error))[:100]}): does a replica serve at that port?"
            ) from error
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise NotReadyError(
                f"{self.url}{path} did not answer ({reason}): check that the replica runs there and that this machine can reach its port"
            ) from error

    def stats(self) -> ReplicaStats | None:
        """Return its `/stats` without the counts from before the run; None if it does not answer.

        Raises: DocumentError: the answer has another version.
        """
        try:
            found = self._stats()
        except NotReadyError:
            return None
        return found if self.before is None else since(found, self.before)

    def _stats(self) -> ReplicaStats:
        return decode(ReplicaStats, self.ask("/stats"), f"{self.url}/stats")

    def require_ready(self, endpoint: Endpoint, *, deployed: bool = True) -> ReplicaStats:
        """Return its counts so far, if it is ready at this broker with this promise and has no clients.

        `deployed` says whether a command has given it the broker.

        Raises:
            NotReadyError: it is not ready.
        """
        self.ask("/readyz")
        try:
            found = self._stats()
        except DocumentError as error:
            raise NotReadyError(
                f"{error}; check that it is a replica of this fanbench, and not a proxy", lasting=True
            ) from error
        named, lasting = f"{self.url} ({found.server})", not deployed
        if not _same_broker(found.broker, endpoint):
            raise NotReadyError(
                f"{named} uses the broker {found.broker}, not {endpoint}: {_to_set('FANBENCH_BROKER_URL', deployed)}",
                lasting=lasting,
            )
        if found.delivery != endpoint.delivery:
            raise NotReadyError(
                f"{named} promises {found.delivery}, not {endpoint.delivery}: {_to_set('FANBENCH_DELIVERY', deployed)}",
                lasting=lasting,
            )
        if found.clients:
            raise NotReadyError(f"{named} has {found.clients} clients that do not belong to this run: close them")
        self._require_one(found.server)
        return found

    def _require_one(self, server: str) -> None:
        """Raise NotReadyError if another replica answers here, too: its counts would be taken for this one's."""
        names = [server, *(self._stats().server for _ in range(ASKS))]
        for at, name in enumerate(names):
            if name != server and server in names[at:]:
                raise NotReadyError(
                    f"{self.url} leads to several replicas, {server} and {name}, as a proxy or a service does: --replicas-at must name each "
                    "replica by its own address; give the proxy with --clients-at",
                    lasting=True,
                )


def _same_broker(named: str, endpoint: Endpoint) -> bool:
    """Whether a replica's broker is this one, however its URL is written; both URLs have their secrets hidden."""
    if named == str(endpoint):
        return True
    try:
        one, other = (open_endpoint(url, endpoint.delivery)[1] for url in (named, str(endpoint)))
    except FanbenchError:
        return False
    return (one.scheme, one.every_host, one.path, one.username, one.options) == (
        other.scheme, other.every_host, other.path, other.username, other.options,
    )  # fmt: skip


def _to_set(setting: str, deployed: bool) -> str:
    if deployed:
        return f"the command must set {setting} for that replica and restart it"
    return f"restart it with that {setting}, or give --deploy, the command that does so"


def since(now: ReplicaStats, before: ReplicaStats) -> ReplicaStats:
    """The difference between two counts, or `now` itself if the replica was restarted in between."""
    counts = (
        "delivered",
        "gaps",
        "holes",
        "dropped",
        "replayed",
        "connects",
        "opened_topics",
        "closed_topics",
        "turned_away",
    )
    # In containers every replica may have the same pid, and an equal number of clients proves nothing.
    if (now.server, now.pid) != (before.server, before.pid) or any(
        getattr(now, name) < getattr(before, name) for name in counts
    ):
        return now
    by_name = ("gap_lost", "foreign", "disconnects", "refused")
    fewer: dict[str, object] = {name: getattr(now, name) - getattr(before, name) for name in counts}
    fewer |= {name: _less(getattr(now, name), getattr(before, name)) for name in by_name}
    return now.model_copy(update=fewer)


def _less(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: left for name, count in now.items() if (left := count - before.get(name, 0)) > 0}


def _why(error: urllib.error.HTTPError) -> str:
    """The replica's own message, and the next step for its status."""
    body = ""
    with suppress(OSError, HTTPException):
        body = error.read(4_096).decode(errors="replace")
    try:
        said = json.loads(body)
        words = str(said.get("error") or said.get("detail") or body) if isinstance(said, dict) else body
    except ValueError:
        words = body
    step = "see its log"
    if error.code in (401, 403):
        step = "give the replicas' token in FANBENCH_LOAD_TOKEN"
    if error.code == 404:
        step = (
            "this is not the address of a replica; --replicas-at must name each replica; give a proxy with --clients-at"
        )
    return f": {plain(' '.join(words.split()))[:300] or 'nothing'}; {step}"


def wait_until_ready(
    replicas: Sequence[ReplicaElsewhere],
    endpoint: Endpoint,
    timeout_s: float = READY_TIMEOUT_S,
    *,
    deployed: bool = True,
) -> None:
    """Wait until each replica is ready at that broker without clients, and note its counts so far.

    Two addresses with the same name are one replica, or two that cannot be distinguished. `deployed` says whether a command has given
    them the broker; if none has, another broker is an error at once.

    Raises:
        NotReadyError: a replica is not ready within `timeout_s` seconds; the message contains its answer and the next step.
        FanbenchError: another attempt would fail in the same way: something else answers there, or two replicas have one name.
    """
    deadline_s = time.monotonic() + timeout_s
    for replica in replicas:
        while True:
            try:
                replica.before = replica.require_ready(endpoint, deployed=deployed)
                break
            except NotReadyError as error:
                if error.lasting and not deployed:
                    raise FanbenchError(str(error)) from error
                if time.monotonic() > deadline_s:
                    words = f"not ready within {timeout_s:g} s: {error}"
                    raise (FanbenchError(words) if error.lasting else NotReadyError(words)) from error
            time.sleep(_POLL_S)
    names = [replica.before.server for replica in replicas if replica.before is not None]
    for name in names:
        if names.count(name) > 1:
            urls = ", ".join(one.url for one in replicas if one.before is not None and one.before.server == name)
            raise FanbenchError(
                f"{urls} all have the name {name}: give each replica its own FANBENCH_SERVER and its own address"
            )
