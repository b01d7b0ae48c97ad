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


def start_proxy(
    nginx: str, listen: str, replicas: Sequence[str], folder: Path, children: Children, enter: Sequence[str] = ()
) -> Proxy:
    """Start it on `listen` (`HOST:PORT`) in front of the replicas at such addresses; return once one answers through it.

    `enter` is the beginning of a command in another network.

    Raises: FanbenchError: it ended or does not answer; the message contains its log's last lines.
    """
    source, own = resource_folder("deploy") / "nginx", folder / "nginx"
    (own / "tmp").mkdir(parents=True)
    shutil.copy(source / "types.conf", own)
    config = (source / "nginx.conf").read_text(encoding="utf-8")
    config = config.replace("@LISTEN@", listen).replace("@UI@", str(resource_folder("ui")))
    (own / "nginx.conf").write_text(config, encoding="utf-8")
    servers = "".join(f"server {replica} max_fails=0;\n" for replica in replicas)
    (own / "replicas.conf").write_text(servers, encoding="utf-8")
    # As root its workers would change to another user, who cannot read a private folder.
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command: list[str | Path] = [*enter, nginx, "-p", own, "-c", own / "nginx.conf", "-e", "stderr", "-g", directives]
    child = children.add(spawn("nginx", command, folder / "nginx.log", starts_more=True))
    proxy = Proxy(f"http://{listen}", child)
    poll("nginx ready", 10, lambda: get(f"{proxy.url}/readyz"), [child])
    return proxy
