"""An endpoint that is compared with our replicas: where it runs, how clients listen, how events are published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from core.endpoint.dialect import Dialect
from core.endpoint.request import NamedValue, TlsSettings
from core.errors import UsageError
from core.scenario import Scenario
from core.topics import expand_topics

CONTROL = "control"
"""The listener of a program that takes published events, if it is not the one that streams them."""


class Service(NamedTuple):
    """Where a service answers."""

    url: str
    listeners: Mapping[str, str] = MappingProxyType({})
    """host:port by name, of a program that fanbench started."""


@dataclass(frozen=True, slots=True)
class ComparedEndpoint:
    """The checked contents of an endpoint file. Either `program` or `url` is empty."""

    name: str
    file: str
    """The path of the file, for errors."""
    program: str
    """The service that fanbench starts."""
    url: str
    """The address of a service that somebody else has started."""
    path: str
    publish: str
    """`POST /PATH`, or `POST http://HOST:PORT/PATH` if events are published at another address.

    `{control}` is the program's listener of that name."""
    publish_body: str
    publish_connections: int
    publish_pipeline: int
    dialect: Dialect
    """The dialect that finds only fanbench's stamp."""
    headers: tuple[NamedValue, ...] = field(default=(), repr=False)
    publish_headers: tuple[NamedValue, ...] = field(default=(), repr=False)
    prepare: str = ""
    """A request for each topic before the first client connects, in the form of `publish`; '' for none."""
    tls: TlsSettings = field(default_factory=TlsSettings)

    def request_at(self, text: str, service: Service) -> str:
        """A request of the file for that service: `POST /PATH` becomes `POST http://127.0.0.1:8080/PATH`."""
        method, _, target = text.strip().partition(" ")
        target = target.strip()
        if CONTROL in service.listeners:
            target = target.replace(f"{{{CONTROL}}}", service.listeners[CONTROL])
        return f"{method} {service.url.rstrip('/')}{target}" if target.startswith("/") else f"{method} {target}"

    def load_settings(self, url: str, dialect_file: str) -> dict[str, object]:
        """The load's settings for the service at that URL, except the URL; `dialect_file` contains `dialect_text`."""
        settings: dict[str, object] = {"load_path": self.path, "load_dialect": dialect_file, "load_wait": 0}
        if self.headers:  # Locust reads several values of a variable from a JSON list
            settings["load_header"] = json.dumps([f"{name}: {value}" for name, value in self.headers])
        if url.startswith("https:"):
            settings |= {f"load_{name}": value for name, value in self._tls_settings().items()}
        return settings

    def generator_settings(self, service: Service) -> dict[str, object]:
        """The generator's settings for publishing to that service."""
        publish = self.request_at(self.publish, service)
        return {
            "publish": publish,
            "publish_body": self.publish_body,
            "publish_connections": self.publish_connections,
            "publish_pipeline": self.publish_pipeline,
            "header": "\n".join(f"{name}: {value}" for name, value in self.publish_headers),
            **(self._tls_settings() if " https:" in publish else {}),
        }

    def _tls_settings(self) -> dict[str, str]:
        """The TLS settings, by the names that load and generator share; empty for the defaults."""
        tls = self.tls
        named = {
            "ca_file": tls.ca_file,
            "sni": tls.server_name,
            "client_cert": tls.cert_file,
            "client_key": tls.key_file,
        }
        return {name: value for name, value in named.items() if value}

    def dialect_text(self) -> str:
        """The dialect as TOML: a JSON string, list or boolean is also valid TOML."""
        fields = self.dialect.model_dump(mode="json", exclude_defaults=True)
        return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in fields.items())

    def require_usable(self, scenario: Scenario) -> None:
        """Raise UsageError if the scenario needs replicas, which such a service does not have."""
        where = f"endpoint '{self.name}'"
        if scenario.sessions is not None:
            raise UsageError(
                f"{where}: scenario '{scenario.name}' has sessions, which only fanbench's replicas can serve; leave out "
                "--endpoint, or choose a scenario with permanent topics"
            )
        if scenario.stamp == "compact":
            raise UsageError(
                f"{where}: scenario '{scenario.name}' has stamp = \"compact\", which only fanbench's replicas complete; use "
                'stamp = "readable"'
            )
        if len(expand_topics(scenario.topics)) < 2:
            return
        for what, texts in (
            ("path", (self.path, *(value for _, value in self.headers))),
            ("publish", (self.publish, self.publish_body, *(value for _, value in self.publish_headers))),
        ):
            if not any("{topic" in text for text in texts):
                raise UsageError(
                    f"{where}: {what} = {texts[0]!r} names no topic, and the scenario has several ({scenario.topics}); put "
                    f"{{topic}} into {what} in {self.file}, or give --topics 1"
                )
