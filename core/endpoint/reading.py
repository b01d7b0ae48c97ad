"""Reads the events of a service as a dialect describes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from core.endpoint.dialect import Dialect, Unit
from core.endpoint.selector import Selector, parse_id_pattern, parse_selector
from core.sse import SSEEvent
from core.stamp import Stamp, StampError, decode, is_instant

_NS: dict[Unit, int] = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_LARGEST = 10**18
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DialectMismatchError(ValueError):
    """An event that does not fit the dialect; the message names the mismatch."""


class Reading(NamedTuple):
    """What is known about one event. `topic` is '' if it is the requested one; times are wall-clock nanoseconds."""

    topic: str = ""
    stream: str = ""
    seq: int | None = None
    key: str = ""
    """Identifies the event within the topic if it has no number."""
    sent_ns: int | None = None
    stamp: Stamp | None = None
    server: str = ""
    received_ns: int | None = None
    """When one of our replicas received it; only with a stamp."""


class EventReader:
    """Applies one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._places: dict[str, Selector] = {
            name: parse_selector(text)
            for name in ("topic", "stream", "seq", "sent")
            if (text := str(getattr(dialect, name)))
        }
        self._stamp = parse_selector(dialect.stamp_place) if dialect.stamp_place else None
        self._needs_stamp = dialect.needs_stamp
        self._only = parse_selector(dialect.only) if dialect.only else None
        self._items = parse_selector(dialect.items) if dialect.items else None
        self._pattern = parse_id_pattern(dialect.id) if "{" in dialect.id else None
        by_id = dialect.id and not (self._pattern is not None and dialect.numbered)
        self._key = parse_selector("id" if self._pattern is not None else dialect.id) if by_id else None
        self._ns = _NS.get(dialect.unit, 0) if dialect.unit else 0
        self._ignore = frozenset(dialect.ignore)
        self._end = dialect.end
        places = (*self._places.values(), self._stamp, self._only, self._items, self._key)
        self._reads_json = self._items is not None or any(one.steps for one in places if one is not None)

    def ends(self, event: SSEEvent) -> bool:
        """Whether the event properly ends the answer."""
        return bool(self._end) and self._end in (event.data, event.event)

    def read(self, event: SSEEvent, asked_topic: str) -> list[Reading]:
        """Return what is known about each delivery in this event: one, none, or one for each entry of the list at `items`.

        Raises:
            DialectMismatchError: the event does not fit the dialect.
        """
        if event.event in self._ignore:
            return []
        try:
            json = orjson.loads(event.data) if self._reads_json else None
            if self._only is not None and not self._has_only(json):
                return []
            if self._items is None:
                return [self._one(event, event.data, json, asked_topic)]
            listed = self._items.find(json)
            if not isinstance(listed, list):
                raise DialectMismatchError(f"{self._items.text} is not a list")
            return [self._one(event, _as_text(item), item, asked_topic) for item in listed]
        except orjson.JSONDecodeError:
            raise DialectMismatchError("the data is not JSON") from None
        except StampError as error:
            raise DialectMismatchError(f"not a fanbench stamp: {error}") from None
        except LookupError as error:
            raise DialectMismatchError(str(error.args[0])) from None

    def why_set_aside(self, event: SSEEvent) -> str:
        """Why `read` returns nothing for this event: the key of the dialect that excludes it."""
        if event.event in self._ignore:
            return f"type {event.event[:40]}, which `ignore` names"
        if self._only is not None and not self._has_only(orjson.loads(event.data)):
            return f"no {self._only.text}, which `only` asks for"
        return "an empty list at `items`"

    def _has_only(self, json: object) -> bool:
        assert self._only is not None
        try:
            self._only.find(json)
        except LookupError:
            return False
        return True

    def _one(self, event: SSEEvent, data: str, json: object, asked_topic: str) -> Reading:
        if self._stamp is not None:
            try:
                return _stamped(_as_text(_value(self._stamp, event, data, json)), asked_topic)
            except (StampError, LookupError):
                if self._needs_stamp:
                    raise
        parts: Mapping[str, object] = self._pattern.parts(event.id) if self._pattern is not None else {}
        found = {**{name: _value(place, event, data, json) for name, place in self._places.items()}, **parts}
        key = _value(self._key, event, data, json) if self._key is not None else ""
        if self._key is not None and key in ("", None):
            raise DialectMismatchError(f"{self._key.text} is empty")
        return Reading(
            topic=_text("topic", found.get("topic", "")),
            stream=_text("stream", found.get("stream", "")),
            seq=_number("seq", found["seq"]) if "seq" in found else None,
            key=_text("id", key),
            sent_ns=self._time_ns(found["sent"]) if "sent" in found else None,
        )

    def _time_ns(self, value: object) -> int:
        try:
            ns = _since_1970_ns(value, self._ns)
        except (ValueError, TypeError, OverflowError):
            raise DialectMismatchError(f"sent is {_shown(value)}, which is not a time") from None
        if not 0 <= ns < 2**63:
            raise DialectMismatchError(f"sent is {_shown(value)}, which is not a time in that unit")
        return ns


def _since_1970_ns(value: object, unit_ns: int) -> int:
    """Convert a number in that unit, or RFC 3339 text if the unit is 0, to nanoseconds since 1970."""
    if not unit_ns:
        moment = datetime.fromisoformat(str(value))
        since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
    if isinstance(value, str):
        value = int(value) if value.isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("not a number")
    return value * unit_ns if isinstance(value, int) else round(value * unit_ns)


def _value(place: Selector, event: SSEEvent, data: str, json: object) -> object:
    if place.root == "id":
        return event.id
    if place.root == "event":
        return event.event
    return place.find(json) if place.steps else data


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _stamped(text: str, asked_topic: str) -> Reading:
    data = text.encode()
    stamp = decode(data, asked_topic)
    server, received_ns = "", None
    if text.startswith('{"server"'):  # it comes from one of our replicas
        fields = orjson.loads(data)
        server, received_ns = fields["server"], fields.get("received_ns")
    if not isinstance(server, str) or not (received_ns is None or is_instant(received_ns)):
        raise StampError("server must be text, received_ns an instant in nanoseconds")
    return Reading(stamp.topic, stamp.stream, stamp.seq, "", stamp.sent_ns, stamp, server, received_ns)


def _text(name: str, value: object) -> str:
    if isinstance(value, (dict, list)) or value is None:
        raise DialectMismatchError(f"{name} is {_shown(value)}, which is not text")
    return str(value)


def _number(name: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise DialectMismatchError(f"{name} is {_shown(value)}, which is not a whole number of at least 0")
    return value


def _shown(value: object) -> str:
    return repr(value)[:40]
