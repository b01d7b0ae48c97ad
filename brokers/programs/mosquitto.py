"""mosquitto, with deploy/mosquitto/mosquitto.conf."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.finding import DEPLOY, on_path, require, version_of
from brokers.programs.probe import mqtt_answers
from brokers.programs.running import PASSWORD, USER, Running, launch
from core.ports import free_port
from core.process import spawn

CONFIG = DEPLOY / "mosquitto" / "mosquitto.conf"
_OURS = ("listener ", "persistence_location ")
_TUNING = ("set_tcp_nodelay ", "max_queued_messages ", "max_inflight_messages ")


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """Features: `stock` (without the tuning of the shared configuration, to measure what it is worth), `password`."""

    name: str = "mosquitto"
    install_hint: str = "`make brokers`, or apt install mosquitto"

    def find(self) -> Path | None:
        """mosquitto on the PATH or in sbin."""
        return on_path("mosquitto")

    def require(self) -> Path:
        """The executable; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version that the server prints."""
        found = self.find()
        return version_of(found, "-h") if found else ""

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:
        """Run it; see Program."""
        executable = self.require()
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "mosquitto-data"
        config = folder / "mosquitto.conf"
        guarded = "password" in features
        lines = local_config(port, data, stock="stock" in features)
        config.write_text("\n".join(lines + (_password_file(folder) if guarded else [])) + "\n", encoding="utf-8")
        return launch(
            Running(
                name=self.name,
                listeners={"mqtt": f"127.0.0.1:{port}"},
                data=data,
                spawn=lambda: spawn(self.name, [executable, "-c", config], folder / "mosquitto.log", cwd=data),
                ready=lambda: mqtt_answers(port),
                credentials=(USER, PASSWORD) if guarded else None,
            )
        )


def _password_file(folder: Path) -> list[str]:
    tool = require("mosquitto_passwd", on_path("mosquitto_passwd"), mosquitto.install_hint)
    users = folder / "mosquitto.users"
    subprocess.run([tool, "-b", "-c", users, USER, PASSWORD], check=True, capture_output=True)
    return ["allow_anonymous false", f"password_file {users}"]


def shared_config(stock: bool) -> list[str]:
    """The lines of deploy/mosquitto/mosquitto.conf, without its tuning if `stock`."""
    lines = CONFIG.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not (stock and line.startswith(_TUNING))]


def password_line(user: str, password: str, salt: bytes) -> str:
    """A line of a password file, as mosquitto_passwd 2.0 writes it: PBKDF2 with SHA-512, 101 rounds."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def local_config(port: int, data: Path, stock: bool) -> list[str]:
    """The shared configuration, with a listener on 127.0.0.1 and files in `data`."""
    lines = [line for line in shared_config(stock) if not line.startswith(_OURS)]
    lines = [f"listener {port} 127.0.0.1", f"persistence_location {data}/", *lines]
    if os.geteuid() == 0:
        lines.append("user root")  # otherwise it becomes a user who cannot write to our folder
    return lines


mosquitto = Mosquitto()
