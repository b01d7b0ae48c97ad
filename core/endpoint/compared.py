"""An endpoint that is compared with our replicas: where it runs, how clients listen, how events are published."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from core.endpoint.dialect import Dialect
from core.endpoint.request import NamedValue
from core.errors import UsageError
from core.scenario import Scenario
from core.topics import expand_topics


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
    """`POST /PATH`, or `POST http://HOST:PORT/PATH` where events are published at another address."""
    publish_body: str
    publish_connections: int
    publish_pipeline: int
    dialect: Dialect
    """The dialect that finds only fanbench's stamp."""
    headers: tuple[NamedValue, ...] = field(default=(), repr=False)
    publish_headers: tuple[NamedValue, ...] = field(default=(), repr=False)

    def publish_at(self, base_url: str) -> str:
        """The publishing request of the service at a base URL: `POST http://127.0.0.1:8080/publish?topic={topic}`."""
        method, _, target = self.publish.strip().partition(" ")
        target = target.strip()
        return f"{method} {base_url.rstrip('/')}{target}" if target.startswith("/") else f"{method} {target}"

    def load_settings(self, dialect_file: str) -> dict[str, object]:
        """The load's settings, except the service's address; `dialect_file` contains `dialect_text`."""
        settings: dict[str, object] = {"load_path": self.path, "load_dialect": dialect_file, "load_wait": 0}
        if self.headers:  # Locust reads several values of a variable from a JSON list
            settings["load_header"] = json.dumps([f"{name}: {value}" for name, value in self.headers])
        return settings

    def generator_settings(self, base_url: str) -> dict[str, object]:
        """The generator's settings for publishing to the service at a base URL."""
        return {
            "publish": self.publish_at(base_url),
            "publish_body": self.publish_body,
            "publish_connections": self.publish_connections,
            "publish_pipeline": self.publish_pipeline,
            "header": "\n".join(f"{name}: {value}" for name, value in self.publish_headers),
        }

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
                "--endpoint, or choose a scenario whose topics stay"
            )
        if scenario.stamp == "compact":
            raise UsageError(
                f"{where}: scenario '{scenario.name}' has stamp = \"compact\", which only fanbench's replicas complete; take "
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
