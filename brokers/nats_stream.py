"""Manages the JetStream stream and its consumers through JetStream's API, so that errors have its own text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from brokers.endpoint import Endpoint
from brokers.errors import BrokerError, CauseKind, standard_kind
from brokers.nats_errors import ERRORS, STREAM_NAME_IN_USE, STREAM_NOT_FOUND, AnswerError, kind_of
from brokers.nats_link import NatsConnection
from brokers.nats_subjects import NAME, NAME_WORDS, SUBJECT_PREFIX, SUBJECT_WORDS, overlap
from brokers.nats_subscriptions import open_inbox
from brokers.options import choice, flag, text, whole_number, word
from brokers.waiting import reason

STREAM = word(
    "stream", "name of the stream that all topics share", NAME, NAME_WORDS, default_words="fanbench, or the run's name"
)
SUBJECT = word(
    "subject", "prefix of the subjects of its topics", SUBJECT_PREFIX, SUBJECT_WORDS, default_words="the stream's name"
)
CREATE = flag("create", "create the stream if it is missing", default=True)
LENGTH = whole_number("length", "messages that the stream keeps", 100_000, 1)
MAX_BYTES = whole_number("max_bytes", "bytes that the stream keeps, if the account requires a limit", 0, 1, "no limit")
REPLICAS = whole_number("replicas", "servers that store the stream", 1, 1)
STORAGE = choice("storage", "where they store it", ("file", "memory"), "file")
CLUSTER = text("placement_cluster", "cluster in which the stream is placed", default_words="any")
TAGS = text("placement_tags", "tags of the servers that store the stream, comma-separated", default_words="none")
DOMAIN = word("domain", "JetStream domain", NAME, NAME_WORDS, default_words="the server's own")
OPTIONS = (STREAM, SUBJECT, CREATE, LENGTH, MAX_BYTES, REPLICAS, STORAGE, CLUSTER, TAGS, DOMAIN)
"""`length`, `max_bytes`, `replicas`, `storage` and the placement apply to a new stream.

An existing one keeps its own.
"""

REQUEST_TIMEOUT_S = 1.0
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream as the server describes it."""

    created: str
    """When it was created; another time means another stream of that name."""
    first: int
    last: int
    """The number of the last message ever stored in it; 0 for none."""
    last_ns: int
    """When that message was stored, by the server's clock; 0 for none."""
    subjects: tuple[str, ...]


def stream_of(endpoint: Endpoint) -> str:
    """The stream's name."""
    return endpoint.get(STREAM) or endpoint.prefix


def subjects_of(endpoint: Endpoint) -> str:
    """The prefix of the subjects of the stream's topics."""
    return endpoint.get(SUBJECT) or stream_of(endpoint)


def time_ns(words: str) -> int:
    """Parse the server's timestamp, in ns; 0 if it means never."""
    match = _TIME.fullmatch(words)
    if match is None or words.startswith("0001"):
        return 0
    second = datetime.datetime.fromisoformat(f"{match[1]}+00:00")
    return int(second.timestamp()) * SECOND_NS + int((match[2] or "0").ljust(9, "0"))


def words_of(moment_ns: int) -> str:
    """Format a timestamp for the server."""
    second = datetime.datetime.fromtimestamp(moment_ns // SECOND_NS, datetime.UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{moment_ns % SECOND_NS:09d}Z"


async def ask(endpoint: Endpoint, link: NatsConnection, verb: str, body: Mapping[str, Any] | None = None) -> Any:
    """Send a request to JetStream's API, for instance `STREAM.INFO.fanbench`.

    Raises:
        AnswerError: it answered with an error. NoRespondersError: JetStream is not available. TimeoutError: no answer.
        Error: this user has no right to send it.
    """
    domain = endpoint.get(DOMAIN)
    subject = f"$JS.{domain}.API.{verb}" if domain else f"$JS.API.{verb}"
    return answer_of(await link.requests.ask(subject, orjson.dumps(body) if body else b"", REQUEST_TIMEOUT_S))


def answer_of(answer: bytes) -> Any:
    """Parse an answer of JetStream.

    Raises:
        AnswerError: it is an error, or JetStream did not send it.
    """
    try:
        found = orjson.loads(answer)
        error = found.get("error")
    except (ValueError, AttributeError):
        raise AnswerError(0, f"an answer that is not JetStream's: {answer[:60]!r}") from None
    if error:
        raise AnswerError(int(error.get("err_code", 0)), str(error.get("description", error)))
    return found


async def ensure_stream(endpoint: Endpoint, link: NatsConnection) -> StreamFacts:
    """Look up the stream; create it if it is missing and may be created.

    Raises:
        BrokerError: JetStream's own reason.
    """
    await open_inbox(link)
    return await look_at_stream(endpoint, link)


async def look_at_stream(endpoint: Endpoint, link: NatsConnection) -> StreamFacts:
    """Do the same on an existing connection."""
    name = stream_of(endpoint)
    try:
        found = await _until_answered(endpoint, link, f"STREAM.INFO.{name}")
    except AnswerError as error:
        if error.code != STREAM_NOT_FOUND or not endpoint.get(CREATE):
            raise told(endpoint, f"use stream '{name}'", error) from None
        found = await _create(endpoint, link, name)
    except ERRORS as error:
        raise told(endpoint, f"use stream '{name}'", error) from None
    state = found["state"]
    facts = StreamFacts(
        found["created"],
        state["first_seq"],
        state["last_seq"],
        time_ns(state["last_ts"]),
        tuple(found["config"].get("subjects") or ()),
    )
    wanted = f"{subjects_of(endpoint)}.>"
    if facts.subjects and not any(overlap(subject, wanted) for subject in facts.subjects):
        cause = f"it takes {', '.join(facts.subjects)}, but topics would be {wanted}"
        step = "give the prefix of its subjects as ?subject=, or use another stream"
        raise BrokerError(endpoint, f"use stream '{name}'", cause, CauseKind.CONFLICT, step)
    return facts


async def _until_answered(endpoint: Endpoint, link: NatsConnection, verb: str, body: Any = None) -> Any:
    """Repeat until it answers: a server that has just started drops requests. The dial's deadline ends this."""
    while True:
        try:
            return await ask(endpoint, link, verb, body)
        except TimeoutError:
            continue


async def _create(endpoint: Endpoint, link: NatsConnection, name: str) -> Any:
    config: dict[str, Any] = {
        "name": name,
        "subjects": [f"{subjects_of(endpoint)}.>"],
        "max_msgs": endpoint.get(LENGTH),
        "max_bytes": endpoint.get(MAX_BYTES) or -1,
        "num_replicas": endpoint.get(REPLICAS),
        "storage": endpoint.get(STORAGE),
        "retention": "limits",
        "discard": "old",
    }
    cluster, tags = endpoint.get(CLUSTER), endpoint.get(TAGS)
    if cluster or tags:
        placement = {"cluster": cluster} if cluster else {}
        config["placement"] = placement | ({"tags": tags.split(",")} if tags else {})
    try:
        return await _until_answered(endpoint, link, f"STREAM.CREATE.{name}", config)
    except AnswerError as error:
        if error.code != STREAM_NAME_IN_USE:
            raise told(endpoint, f"create stream '{name}'", error) from None
    except ERRORS as error:
        raise told(endpoint, f"create stream '{name}'", error) from None
    return await _until_answered(endpoint, link, f"STREAM.INFO.{name}")  # somebody else was faster


_STEPS = {
    10113: "give a bound with ?max_bytes=BYTES",
    10065: "name the stream that has these subjects with ?stream=NAME, or choose other subjects with ?subject=",
    10074: "leave ?replicas out, or use a cluster",
    10005: "ask for fewer ?replicas, or another placement",
    10039: "enable JetStream for this account at the server",
    10076: "enable JetStream at this server",
}


def told(endpoint: Endpoint, action: str, error: Exception) -> BrokerError:
    """JetStream's own reason, with a next step that fits it."""
    kind = kind_of(error) or standard_kind(error)
    step = _STEPS.get(error.code, "") if isinstance(error, AnswerError) else ""
    if kind is CauseKind.ELSEWHERE and not step:
        step = "check that JetStream is enabled for this account and has a leader; it is retried automatically"
    return BrokerError(endpoint, action, reason(error), kind, step)


async def remove_stream(endpoint: Endpoint, link: NatsConnection) -> None:
    """Delete the stream; no error if there is none.

    Raises:
        BrokerError: JetStream's own reason.
    """
    name = stream_of(endpoint)
    await open_inbox(link)
    try:
        await ask(endpoint, link, f"STREAM.DELETE.{name}")
    except ERRORS as error:
        if not isinstance(error, AnswerError) or error.code != STREAM_NOT_FOUND:
            raise told(endpoint, f"delete stream '{name}'", error) from None
