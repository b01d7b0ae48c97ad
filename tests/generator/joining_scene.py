"""A broker, generators that join, and a conductor for each run, all of them processes of their own."""

import os
import subprocess

from core.contracts.codec import read
from core.contracts.generator_status import GeneratorStatus
from core.ports import free_port
from core.process import OWN_PYTHON


class JoiningScene:
    """Whoever is started is killed at the end."""

    def __init__(self, folder, broker_url):
        self.folder = folder
        self.broker_url = broker_url
        self.port = free_port()
        self.report, self.status = folder / "report.json", folder / "status.json"
        self.started = []
        self.topics = 5

    def _start(self, log, *words, **settings):
        env = {name: value for name, value in os.environ.items() if not name.startswith("FANBENCH_")}
        env |= {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()}
        with (self.folder / log).open("w") as output:
            self.started.append(subprocess.Popen([*OWN_PYTHON, "-m", "generator", *words], env=env, stderr=output))
        return self.started[-1]

    def member(self, log, **settings):
        return self._start(log, "join", f"127.0.0.1:{self.port}", **settings)

    def conductor(self, **settings):
        usual = {
            "broker_url": self.broker_url,
            "topics": f"room-{{0..{self.topics - 1}}}",
            "rate_hz": 100,
            "processes": 2,
        }
        usual |= {"join_at": f"127.0.0.1:{self.port}", "report": self.report, "status": self.status}
        return self._start("conductor", **(usual | settings))

    def log(self, name="conductor"):
        return (self.folder / name).read_text()

    def joined(self):
        status = read(GeneratorStatus, self.status)
        return status.joined if status is not None else 0

    def close(self):
        for process in self.started:
            process.kill()
            process.wait()
