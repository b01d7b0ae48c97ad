"""An endpoint file: a dialect, and a table `[endpoint]` for how a comparison reaches the service and publishes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.endpoint.compared import CONTROL, ComparedEndpoint, Service
from core.endpoint.dialect import ENDPOINT_TABLE, Dialect, file_of, load_dialect, parse_dialect
from core.endpoint.origin import parse_origin
from core.endpoint.publish_request import parse_publish
from core.endpoint.request import NamedValue, TlsSettings, check_path, parse_header
from core.errors import UsageError, nearest
from core.paths import absolute_path
from core.scenario import read_toml

MODEL = "dialects/nchan.toml"
TLS_FIELDS = ("ca_file", "sni", "client_cert", "client_key")
"""Named like the options of the load and the generator."""
_PAGE = "docs/how-to/own-sse-service.md has examples"
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET = ("headers", "publish_headers")
"""Fields whose values are hidden in errors."""


class EndpointTable(BaseModel):
    """The table `[endpoint]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="the contender's name: up to 64 letters, digits, . _ and -; default: the file's name",
    )
    program: str = Field("", description="a service that fanbench starts, such as nchan or sse-starlette")
    url: str = Field("", description="where your own service runs: http://HOST:PORT or https://HOST:PORT")
    path: str = Field(description="the path of the stream, such as /sse?topic={topic}")
    headers: tuple[str, ...] = Field((), description="headers of the stream's request, as 'Name: value'")
    publish: str = Field(description="'POST /PATH' at the same address, or 'POST http://HOST:PORT/PATH' at another")
    publish_headers: tuple[str, ...] = Field((), description="headers of the publishing request, as 'Name: value'")
    publish_body: str = Field("{event}", description="the body, with {event} and {topic}")
    publish_connections: int = Field(
        8, ge=1, le=1024, description="number of the generator's connections; each topic uses one of them"
    )
    publish_pipeline: int = Field(
        16, ge=1, le=10_000, description="requests under way on a connection; 1: wait for each answer"
    )
    prepare: str = Field(
        "", description="what each topic needs before the first client: 'PUT /PATH/{topic}', sent with publish_headers"
    )
    ca_file: str = Field("", description="PEM certificates to trust for https://, instead of the system's")
    sni: str = Field("", description="name that the server's certificate must have; default: the host")
    client_cert: str = Field("", description="PEM certificate of clients and publisher, if the service requires one")
    client_key: str = Field("", description="PEM key of client_cert; default: in the same file")
    dialect: str = Field("", description="the name of a dialect, if the file itself does not describe the events")

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, text: str) -> str:
        if "://" in text:
            raise ValueError("it has a host, which belongs in url")
        if not text.startswith("/"):
            raise ValueError("a path begins with a slash; the host belongs in url")
        return check_path(text)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, text: str) -> str:
        if text:
            try:
                parse_origin(text)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return text.rstrip("/")

    @model_validator(mode="after")
    def _runs_somewhere(self) -> EndpointTable:
        if self.program and self.url:
            raise ValueError(
                f"program = {self.program!r} and url = {self.url!r}: fanbench starts the program on a free port; "
                "leave one of them out"
            )
        if not self.program and not self.url:
            raise ValueError(
                "it has neither program nor url; add url = 'http://HOST:PORT' of the service that runs, or a program that "
                "fanbench starts"
            )
        return self


def load_endpoint(name_or_path: str, folder: Path) -> ComparedEndpoint:
    """The endpoint `name` among the files in `folder`, or the TOML file at a path.

    Raises:
        UsageError: there is no such file, it is not TOML, it has no table `[endpoint]`, or a field is unknown or wrong.
    """
    path = file_of(name_or_path, folder)
    if path is None:
        raise UsageError(
            f"no endpoint '{name_or_path}'; {nearest(name_or_path, _shipped(folder))} (or give the path of a TOML file: {_PAGE})"
        )
    where = f"endpoint {path}"
    fields = read_toml(path, "endpoint", MODEL)
    table = fields.pop(ENDPOINT_TABLE, None)
    if not isinstance(table, dict):
        raise UsageError(
            f"{where}: it has no table [endpoint], so fanbench does not know how to reach the service and how to publish to "
            f"it; add one with url, path and publish, in your own file: {_PAGE}"
        )
    return _endpoint(_table(table, where), fields, path, where, folder)


def _shipped(folder: Path) -> list[str]:
    """The files that are endpoints, not only dialects."""
    return [file.stem for file in folder.glob("*.toml") if ENDPOINT_TABLE in tomllib.loads(file.read_text("utf-8"))]


def _table(fields: Mapping[str, object], where: str) -> EndpointTable:
    known = EndpointTable.model_fields
    for name in fields:
        if name not in known:
            raise UsageError(f"{where}: unknown field '{name}' of [endpoint]; {nearest(name, known)}")
    try:
        return EndpointTable.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # a rule over several fields, whose message names them
            raise UsageError(f"{where}: {reason}") from None
        name = str(first["loc"][0])
        hint = known[name].description
        if first["type"] == "missing":
            raise UsageError(f"{where}: [endpoint] lacks {name}; it takes: {hint}") from None
        shown = "***" if name in _SECRET else repr(first["input"])
        raise UsageError(f"{where}: {name} = {shown}: {reason}. It takes: {hint}") from None


def _endpoint(
    table: EndpointTable, fields: dict[str, object], path: Path, where: str, folder: Path
) -> ComparedEndpoint:
    headers = _headers("headers", table.headers, where)
    publish_headers = _headers("publish_headers", table.publish_headers, where)
    endpoint = ComparedEndpoint(
        name=table.name or path.stem,
        file=str(path),
        program=table.program,
        url=table.url,
        path=table.path,
        publish=table.publish,
        publish_body=table.publish_body,
        publish_connections=table.publish_connections,
        publish_pipeline=table.publish_pipeline,
        dialect=_stamped(_dialect(table, {"name": path.stem} | fields, where, folder), where),
        headers=headers,
        publish_headers=publish_headers,
        prepare=table.prepare,
        tls=_tls(table, path.parent, where),
    )
    if not endpoint.name.isascii() or not endpoint.name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UsageError(
            f"{where}: {endpoint.name!r} cannot name a contender; add name = '…' to [endpoint], of letters, digits, . _ and -"
        )
    # The ports of a program are not known yet.
    at = Service("http://127.0.0.1", {CONTROL: "127.0.0.1:1"}) if table.program else Service(table.url)
    for name, text in (("publish", table.publish), ("prepare", table.prepare)):
        if f"{{{CONTROL}}}" in text and not table.program:
            raise UsageError(
                f"{where}: {name} = {text!r}: {{{CONTROL}}} is a port of a program that fanbench starts; write the address of yours"
            )
        try:
            if text:
                parse_publish(endpoint.request_at(text, at), publish_headers, table.publish_body)
        except UsageError as error:
            raise UsageError(f"{where}: {name} = {text!r}: {error}") from None
    return endpoint


def _tls(table: EndpointTable, folder: Path, where: str) -> TlsSettings:
    """The TLS settings; paths in the file are relative to its folder, because it may be used from any other."""
    tls = TlsSettings(
        server_name=table.sni,
        **{
            field: str(absolute_path(folder / path)) if path else ""
            for field, path in (
                ("ca_file", table.ca_file),
                ("cert_file", table.client_cert),
                ("key_file", table.client_key),
            )
        },
    )
    given = [name for name in TLS_FIELDS if getattr(table, name)]
    if table.client_key and not table.client_cert:
        raise UsageError(f"{where}: client_key = {table.client_key!r}: the certificate is missing; add client_cert")
    if given and "https" not in (
        table.url.partition(":")[0],
        table.publish.partition(" ")[2].strip().partition(":")[0],
    ):
        raise UsageError(
            f"{where}: {given[0]} = {getattr(table, given[0])!r}: TLS needs an https:// address; write url = 'https://…', or "
            f"leave out {given[0]}"
        )
    return tls


def _dialect(table: EndpointTable, fields: Mapping[str, object], where: str, folder: Path) -> Dialect:
    """What the events mean: the named dialect, or the file's own keys."""
    if not table.dialect:
        return parse_dialect(fields, where)
    if own := [name for name in fields if name not in ("name", "about")]:
        raise UsageError(
            f"{where}: dialect = {table.dialect!r}, and the file has {own[0]} of its own; leave one of them out"
        )
    try:
        return load_dialect(table.dialect, folder)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _stamped(dialect: Dialect, where: str) -> Dialect:
    """Reduce a dialect for a service to which fanbench publishes every event.

    Its stamp contains everything, and other events are foreign. Because the service's ids are not used, clients may be in
    several processes, as with replicas.
    """
    if not dialect.stamp_place:
        raise UsageError(
            f"{where}: the dialect does not say where fanbench's stamp is in the events that it publishes; add "
            "stamp = 'data', or a place such as stamp = 'data.message'"
        )
    kept = dialect.model_dump(include={"name", "about", "only", "items", "ignore", "end", "shared"})
    return Dialect.model_validate(kept | {"stamp": dialect.stamp_place})


def _headers(name: str, texts: tuple[str, ...], where: str) -> tuple[NamedValue, ...]:
    """The headers, with `${NAME}` replaced by that environment variable, so that the file needs no secrets."""
    found = []
    for text in texts:
        shown = f"{where}: {name}: '{text.partition(':')[0]}: …'"
        for variable in _VARIABLE.findall(text):
            if variable not in os.environ:
                raise UsageError(
                    f"{shown}: the environment has no variable {variable}; set it, for instance: export {variable}=…"
                )
        try:
            found.append(parse_header(_VARIABLE.sub(lambda match: os.environ[match[1]], text)))
        except ValueError as error:
            raise UsageError(f"{shown}: {error}") from None
    return tuple(found)
