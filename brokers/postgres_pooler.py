"""Recognises a pooler in front of PostgreSQL that gives a connection another server process for each transaction.

LISTEN belongs to a server process, so its notifications would go to whoever has that process next: they would be lost
without an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

STEP = "connect to PostgreSQL itself, or to a pool in session mode (PgBouncer: pool_mode = session)"
FOREIGN_STATEMENTS = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
"""A prepared statement that this connection did not make, or one that is gone: the server process is another one."""
SERVER_PROCESS = "pg_catalog.pg_backend_pid()"
_SECOND_S = 1.0
"""Time for a second connection. A pool in session mode may have no server process left for it, and that is no fault."""


class SharedServerError(ConnectionError):
    """The server process behind a connection is shared with others."""

    def __init__(self, how: str) -> None:
        super().__init__(
            f"a pooler is in between, and {how}; LISTEN and prepared statements need a server process of their own"
        )


async def require_own_process(connection: Any, process: int, connect: Callable[[], Awaitable[Any]]) -> None:
    """Check a connection with a pooler in between; `process` served its last statement, `connect` makes another connection.

    Only a pooler announces another process than the one that answers. A pool in session mode passes.

    Raises:
        SharedServerError: the process also serves the other connection's transactions.
    """
    if process == connection.get_server_pid():
        return
    try:
        async with asyncio.timeout(_SECOND_S):
            other = await connect()
    except (TimeoutError, asyncpg.PostgresError, OSError):
        return
    try:
        await other.execute("BEGIN")  # so that it keeps its process for a moment
        if process == await other.fetchval(f"SELECT {SERVER_PROCESS}"):
            raise SharedServerError("it gives this connection's server process to others between two transactions")
    except FOREIGN_STATEMENTS as error:
        raise SharedServerError(f"the server process has statements of others ({error.sqlstate})") from None
    finally:
        other.terminate()
