"""nginx in front of the replicas, if it is installed, with the configuration of the compose demo."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from core.process import Child, spawn
from core.resources import resource_folder
from harness.runner.polling import poll
from harness.runner.processes import Children, get


class Proxy(NamedTuple):
    """A running nginx and its address."""

    url: str
    child: Child


def find_nginx() -> str | None:
    """Its executable; Debian installs it outside a user's PATH."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def start_proxy(nginx: str, port: int, replica_ports: Sequence[int], folder: Path, children: Children) -> Proxy:
    """Start it on 127.0.0.1 in front of the replicas; return once one answers through it.

    Raises: FanbenchError: it ended or does not answer; the message contains its log's last lines.
    """
    source, own = resource_folder("deploy") / "nginx", folder / "nginx"
    (own / "tmp").mkdir(parents=True)
    shutil.copy(source / "types.conf", own)
    config = (source / "nginx.conf").read_text(encoding="utf-8")
    config = config.replace("@LISTEN@", f"127.0.0.1:{port}").replace("@UI@", str(resource_folder("ui")))
    (own / "nginx.conf").write_text(config, encoding="utf-8")
    servers = "".join(f"server 127.0.0.1:{replica_port} max_fails=0;\n" for replica_port in replica_ports)
    (own / "replicas.conf").write_text(servers, encoding="utf-8")
    # As root its workers would change to another user, who cannot read a private folder.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command: list[str | Path] = [nginx, "-p", own, "-c", own / "nginx.conf", "-e", "stderr", "-g", directives]
    child = children.add(spawn("nginx", command, folder / "nginx.log", starts_more=True))
    proxy = Proxy(f"http://127.0.0.1:{port}", child)
    poll("nginx ready", 10, lambda: get(f"{proxy.url}/readyz"), [child])
    return proxy
