"""Everything that can be compared: program + adapter + delivery, by name; and the user's own broker, by URL."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

from brokers.anti_patterns import ANTI_PATTERNS
from brokers.contender import Contender, Delivery
from brokers.endpoint import redact, with_absolute_files
from brokers.programs.redis_sentinel import SERVICE
from brokers.registry import open_endpoint
from core.errors import UsageError, nearest

_AT_MOST: Delivery = "at-most-once"
_AT_LEAST: Delivery = "at-least-once"

_AOF = "append-only file"
_EVERY_SECOND = f"{_AOF}, fsync every second"
_STREAM = "log on disk, no fsync"

_CONTENDERS = (
    Contender("memory", _AT_MOST, "memory://", primary=True),
    Contender("valkey", _AT_MOST, "redis://{redis}", "valkey", primary=True),
    Contender("valkey-streams", _AT_LEAST, "redis+streams://{redis}", "valkey", ("durable",), kept=_EVERY_SECOND),
    Contender("redis", _AT_MOST, "redis://{redis}", "redis", primary=True),
    Contender("redis-streams", _AT_LEAST, "redis+streams://{redis}", "redis", ("durable",), kept=_EVERY_SECOND),
    Contender("rabbitmq", _AT_MOST, "amqp://{amqp}", "rabbitmq", primary=True),
    Contender(
        "rabbitmq-confirms", _AT_LEAST, "amqp://{amqp}", "rabbitmq", kept="queue on disk, written before the confirm"
    ),
    Contender("rabbitmq-stream", _AT_LEAST, "amqp+stream://{amqp}", "rabbitmq", kept=_STREAM),
    Contender("mosquitto", _AT_MOST, "mqtt://{mqtt}", "mosquitto", primary=True),
    Contender(
        "mosquitto-qos1", _AT_LEAST, "mqtt://{mqtt}", "mosquitto", kept="memory, file every 30 min and at the end"
    ),
    Contender("nats", _AT_MOST, "nats://{nats}", "nats", primary=True),
    Contender("nats-jetstream", _AT_LEAST, "nats+js://{nats}", "nats", ("jetstream",), kept="file, fsync every 120 s"),
    Contender("nats-mqtt", _AT_MOST, "mqtt://{mqtt}", "nats", ("mqtt",)),
    Contender("postgres", _AT_MOST, "postgresql://fanbench@{postgres}/postgres", "postgres", primary=True),
    Contender(
        "postgres-outbox",
        _AT_LEAST,
        "postgresql+outbox://fanbench@{postgres}/postgres",
        "postgres",
        kept="table on disk, fsync at each commit",
    ),
    Contender("rabbitmq-mqtt", _AT_MOST, "mqtt://guest:guest@{mqtt}", "rabbitmq", ("mqtt",)),
)

_CLUSTERED = (
    Contender(
        "valkey-sentinel",
        _AT_MOST,
        f"redis+sentinel://{{sentinel}}/{SERVICE}",
        "valkey-sentinel",
        clients_at="the leader",
        of="valkey",
    ),
    Contender(
        "valkey-streams-sentinel",
        _AT_LEAST,
        f"redis+streams+sentinel://{{sentinel}}/{SERVICE}",
        "valkey-sentinel",
        ("durable",),
        clients_at="the leader",
        of="valkey-streams",
        kept=f"{_AOF} on each node",
    ),
    Contender(
        "redis-sentinel",
        _AT_MOST,
        f"redis+sentinel://{{sentinel}}/{SERVICE}",
        "redis-sentinel",
        clients_at="the leader",
        of="redis",
    ),
    Contender("valkey-cluster", _AT_MOST, "redis+cluster://{redis}", "valkey-cluster", of="valkey"),
    # Any node passes a classic PUBLISH to all others: a topic has no slot, and no node leads it.
    Contender(
        "valkey-cluster-classic",
        _AT_MOST,
        "redis+cluster://{redis}?pubsub=classic",
        "valkey-cluster",
        clients_at="any node, none leads",
        of="valkey",
    ),
    Contender("nats-cluster", _AT_MOST, "nats://{nats}", "nats-cluster", clients_at="any node, none leads", of="nats"),
    Contender(
        "nats-jetstream-r3",
        _AT_LEAST,
        "nats+js://{nats}?replicas=3",
        "nats-cluster",
        ("jetstream",),
        of="nats-jetstream",
        kept="three copies on file",
    ),
    Contender(
        "rabbitmq-cluster", _AT_MOST, "amqp://{amqp}", "rabbitmq-cluster", clients_at="the leader", of="rabbitmq"
    ),
    Contender(
        "rabbitmq-quorum",
        _AT_LEAST,
        "amqp://{amqp}?queue_type=quorum",
        "rabbitmq-cluster",
        ("quorum",),
        of="rabbitmq-confirms",
        kept="three copies, fsync before the confirm",
    ),
    Contender(
        "rabbitmq-stream-r3",
        _AT_LEAST,
        "amqp+stream://{amqp}",
        "rabbitmq-cluster",
        ("stream",),
        of="rabbitmq-stream",
        kept=f"three copies: {_STREAM}",
    ),
    Contender(
        "nats-mqtt-r3",
        _AT_MOST,
        "mqtt://{mqtt}",
        "nats-cluster",
        ("mqtt",),
        clients_at="any node, none leads",
        of="nats-mqtt",
    ),
)


def all_contenders() -> list[Contender]:
    """Every contender of one process with a name, the harness floor first."""
    return list(_CONTENDERS)


def cluster_contenders() -> list[Contender]:
    """Every contender whose program runs as several nodes."""
    return list(_CLUSTERED)


def declared(name: str) -> Contender | None:
    """Return the declared contender for a name in results, which may end with `?settings`, or with `#2` if it ran twice.

    None for a broker at a URL, a cluster, an anti-pattern, and for names that this version does not know.
    """
    base = name.partition("#")[0].partition("?")[0]
    return next((one for one in all_contenders() if one.name == base), None)


def program_of_result(name: str) -> str | None:
    """Return the program of a contender in results if fanbench declares it."""
    found = declared(name)
    return None if found is None else found.program


def find_contender(name_or_url: str) -> Contender:
    """The contender of that name, or one for a running broker at a URL.

    Raises:
        UsageError: there is no such contender, or the URL's scheme or an option is unknown.
    """
    if "://" in name_or_url:
        return _of_url(name_or_url)
    name, _, query = name_or_url.partition("?")
    every = [*_CONTENDERS, *_CLUSTERED, *ANTI_PATTERNS]
    for contender in every:
        if contender.name == name:
            return _with_settings(contender, query) if query else contender
    known = nearest(name, [contender.name for contender in every])
    raise UsageError(
        f"no contender '{redact(name_or_url)}'; {known}{'' if known.endswith('?') else '.'} A running broker is given by its URL"
    )


def _with_settings(contender: Contender, query: str) -> Contender:
    """Parse `valkey-sentinel?down_after_ms=5000`; the name keeps the settings, so that two of them can be compared."""
    if not contender.settings:
        raise UsageError(f"{contender.name}?{query}: {contender.name} has no settings; leave out '?{query}'")
    given = tuple(parse_qsl(query, keep_blank_values=True))
    changed = replace(contender, name=f"{contender.name}?{query}", given=given)
    _ = changed.settings  # raises if one of them cannot be
    return changed


def _of_url(url: str) -> Contender:
    url = with_absolute_files(url)
    adapter, endpoint = open_endpoint(url)
    delivery: Delivery = _AT_LEAST if endpoint.delivery == _AT_LEAST else _AT_MOST
    name = endpoint.place
    return Contender(name if delivery == adapter.deliveries[0] else f"{name} {delivery}", delivery, url)
