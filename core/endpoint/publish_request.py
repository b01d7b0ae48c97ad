"""How a service accepts an event: a request to its publishing address, such as `POST http://127.0.0.1:8080/publish/{topic}`."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import quote, urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from core.endpoint.origin import Origin, parse_origin
from core.endpoint.request import NamedValue, check_path
from core.errors import UsageError

PublishMethod = Literal["POST", "PUT"]
_HOLE = re.compile(r"\{(topic|event)(?::(text|form))?\}")
_FORM = "Give 'POST http://HOST:PORT/PATH', with {topic} in place of the topic"


class PublishRequest(BaseModel):
    """The request for one event. `{topic}` is replaced in `path` and `headers`, `{topic}` and `{event}` in `body`.

    In the body, `{event}` is the unchanged event, `{event:text}` is escaped for a JSON string (without the quotes), and
    `{event:form}` is encoded for a form; the same applies to `{topic}`. All other braces stay as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: PublishMethod = "POST"
    path: str
    headers: tuple[NamedValue, ...] = ()
    body: str = "{event}"

    @field_validator("path")
    @classmethod
    def _can_be_named(cls, text: str) -> str:
        return check_path(_without_user(text))

    @field_validator("headers")
    @classmethod
    def _can_be_filled(cls, headers: tuple[NamedValue, ...]) -> tuple[NamedValue, ...]:
        for name, value in headers:
            _without_user(value, f"{name}: ")
        return headers

    @field_validator("body")
    @classmethod
    def _has_the_event(cls, text: str) -> str:
        if not any(match[1] == "event" for match in _HOLE.finditer(text)):
            raise ValueError("it does not contain the event; add {event}, {event:text} or {event:form}")
        return text


class PublishEncoder:
    """Makes the bytes of requests; caches the head of each topic's requests."""

    def __init__(self, origin: Origin, request: PublishRequest) -> None:
        self._origin = origin
        self._request = request
        self._heads: dict[str, bytes] = {}
        self._is_event = request.body == "{event}"

    def encode(self, topic: str, event: bytes) -> bytes:
        """Return the bytes of the request that publishes this event to that topic."""
        body = event if self._is_event else _filled(self._request.body, topic, event.decode()).encode()
        head = self._heads.get(topic)
        if head is None:
            head = self._heads[topic] = self._head(topic)
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)

    def _head(self, topic: str) -> bytes:
        request, origin = self._request, self._origin
        path = request.path.replace("{topic}", quote(topic, safe=""))
        lines = [f"{request.method} {origin.prefix}{path} HTTP/1.1", f"Host: {origin.authority}"]
        if not any(name.lower() == "content-type" for name, _ in request.headers):
            lines.append("Content-Type: text/plain; charset=utf-8")
        lines += [f"{name}: {value.replace('{topic}', topic)}" for name, value in request.headers]
        return ("\r\n".join(lines) + "\r\n").encode()


def _without_user(text: str, where: str = "") -> str:
    """Refuse `{user}`, which is the number of a stream's client: a publisher has none."""
    if "{user}" in text:
        raise ValueError(f"{where}{{user}} has no meaning when publishing; use {{topic}}")
    return text


def _filled(body: str, topic: str, event: str) -> str:
    def fill(match: re.Match[str]) -> str:
        value = topic if match[1] == "topic" else event
        if match[2] == "text":
            return orjson.dumps(value).decode()[1:-1]
        return quote(value, safe="") if match[2] == "form" else value

    return _HOLE.sub(fill, body)


def parse_publish(text: str, headers: tuple[NamedValue, ...] = (), body: str = "") -> tuple[Origin, PublishRequest]:
    """Parse `POST http://HOST:PORT/PATH` into an address and a request.

    Raises:
        UsageError: the text has another form, or the body has no placeholder for the event.
    """
    method, _, url = text.strip().partition(" ")
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"publish {text!r}: {error}. {_FORM}") from None
    if method not in ("POST", "PUT") or not parts.scheme:
        raise UsageError(f"publish {text!r}: not a method and an address. {_FORM}")
    if parts.username is not None:
        raise UsageError(
            f"publish {method} to {parts.hostname}: the URL has a user name; give credentials with a header. {_FORM}"
        )
    origin = parse_origin(f"{parts.scheme}://{parts.netloc}")
    return origin, publish_request(method, url[len(f"{parts.scheme}://{parts.netloc}") :] or "/", headers, body)


def publish_request(method: str, path: str, headers: tuple[NamedValue, ...] = (), body: str = "") -> PublishRequest:
    """Make a request and check it.

    Raises:
        UsageError: the method, the path or the body cannot be used.
    """
    fields = {"method": method, "path": path, "headers": headers, **({"body": body} if body else {})}
    try:
        return PublishRequest.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"publish {method} {path}: {first['loc'][0]}: {reason}. {_FORM}") from None
