"""nginx with nchan and deploy/nchan/nginx.conf: a hub that receives events by HTTP and streams them itself."""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from brokers.programs.finding import DEPLOY, on_path, require, version_of
from brokers.programs.probe import http_answers
from brokers.programs.running import Running, launch
from core.ports import free_port
from core.process import spawn

CONFIG = DEPLOY / "nchan" / "nginx.conf"
MODULES = [Path(folder) / "ngx_nchan_module.so" for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules")]


@dataclass(frozen=True, slots=True)
class Nchan:
    """It has no features."""

    name: str = "nchan"
    install_hint: str = "apt install nginx libnginx-mod-nchan"

    def find(self) -> Path | None:
        """nginx on the PATH or in sbin, if the nchan module is installed too."""
        return on_path("nginx") if self._module() is not None else None

    def require(self) -> Path:
        """The executable; see Program."""
        return require(self.name, self.find(), self.install_hint)

    def version(self) -> str:
        """The version that nginx prints."""
        found = self.find()
        return version_of(found, "-v") if found else ""

    def _module(self) -> Path | None:
        return next((path for path in MODULES if path.exists()), None)

    def start(self, folder: Path, features: Collection[str] = ()) -> Running:  # noqa: ARG002 - see Program
        """Run it; see Program."""
        executable, module, port = self.require(), self._module(), free_port()
        assert module is not None
        data = folder / "nchan-data"
        config = folder / "nchan.conf"
        user = (
            f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        )  # otherwise it becomes a user who cannot write to our folder
        text = CONFIG.read_text(encoding="utf-8")
        for mark, value in {"@MODULES@": str(module.parent), "@PORT@": str(port), "@USER@": user}.items():
            text = text.replace(mark, value)
        folder.mkdir(parents=True, exist_ok=True)
        config.write_text(text, encoding="utf-8")
        command: list[str | Path] = [executable, "-p", data, "-c", config, "-e", "stderr"]
        return launch(
            Running(
                name=self.name,
                listeners={"http": f"127.0.0.1:{port}"},
                data=data,
                spawn=lambda: spawn(self.name, command, folder / "nchan.log", cwd=data),
                ready=lambda: http_answers(port),
            )
        )


nchan = Nchan()
