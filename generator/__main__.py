"""`python -m generator`, `join HOST:PORT` for a share of the runs conducted there, and `merge A.json B.json`, which prints reports of shares as one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import uvloop

from core.errors import FanbenchError
from core.logs import log_to_stderr
from core.settings import exit_with, read_settings
from generator.joined import run_joined
from generator.member import join
from generator.merge import merge_files
from generator.processes import run_processes
from generator.session import run_session
from generator.settings import GeneratorSettings


async def _main(settings: GeneratorSettings) -> None:
    session = asyncio.current_task()
    assert session is not None
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, session.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await run_session(settings)


def main() -> None:
    """Run until the schedule ends or SIGTERM.

    Exit code 2 if a restart would fail too, 1 if the broker does not answer.
    """
    try:
        if sys.argv[1:2] == ["merge"]:
            print(merge_files(sys.argv[2:]))
            return
        if sys.argv[1:2] == ["join"]:
            join(sys.argv[2:])
            return
        settings = read_settings(GeneratorSettings, sys.argv[1:])
        log_to_stderr("info", settings.log_format)
        if settings.join_at:
            run_joined(settings)
            return
        if settings.processes > 1:
            run_processes(settings)
            return
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(settings))
    except FanbenchError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
