"""Events for the asyncio servers: each line of stdin to a callback; the process ends with stdin."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable


async def follow_stdin(take: Callable[[bytes], None]) -> None:
    """Call `take` with each line until stdin ends, then end the process."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        take(line.rstrip(b"\n"))
    os._exit(0)
