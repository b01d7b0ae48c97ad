"""Provokes PostgreSQL as a superuser would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from brokers.conformance.provocations import Pending, Provocations
from brokers.endpoint import Endpoint
from brokers.postgres_link import PostgresSession, dial
from brokers.postgres_table import OutboxTable

_PROVOKER = "provoker"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()"
_NAMES = "SELECT relname FROM pg_class WHERE starts_with(relname, $1)"


@asynccontextmanager
async def _connected(endpoint: Endpoint) -> AsyncIterator[PostgresSession]:
    """A separate session, with a different name."""
    session = await dial(replace(endpoint, options={"run_name": _PROVOKER, "target_session_attrs": "any"}))
    try:
        yield session
    finally:
        await session.hang_up()


async def _end_sessions(endpoint: Endpoint) -> None:
    async with _connected(endpoint) as session:
        await session.fetch(_END, endpoint.prefix)


def _on_table(statement: str) -> Callable[[Endpoint], Awaitable[None]]:
    async def do(endpoint: Endpoint) -> None:
        async with _connected(endpoint) as session:
            await session.execute(statement.format(OutboxTable(endpoint).quoted))

    return do


@asynccontextmanager
async def _read_only(endpoint: Endpoint) -> AsyncIterator[None]:
    """Make the server refuse writes, also on open connections, like a demoted primary."""
    await _set(endpoint, "ALTER SYSTEM SET default_transaction_read_only = on")
    try:
        yield
    finally:
        await _set(endpoint, "ALTER SYSTEM RESET default_transaction_read_only")


async def _set(endpoint: Endpoint, statement: str) -> None:
    async with _connected(endpoint) as session:
        await session.execute(statement)
        await session.execute("SELECT pg_reload_conf()")


async def _relations(endpoint: Endpoint) -> list[str]:
    async with _connected(endpoint) as session:
        found: Any = await session.fetch(_NAMES, endpoint.prefix)
        return [record["relname"] for record in found]


PROVOCATIONS = {
    "postgres": Provocations(
        vanish={"its sessions are ended": _end_sessions},
        elsewhere=_read_only,
        inapplicable={
            "restricted": "PostgreSQL has no permissions per channel",
            "leftovers": "LISTEN and NOTIFY create nothing at the server",
        },
    ),
    "postgres-outbox": Provocations(
        vanish={
            "its sessions are ended": _end_sessions,
            "its table is dropped": _on_table("DROP TABLE {}"),
            "its table is emptied": _on_table("TRUNCATE {}"),
            "its rows are deleted": _on_table("DELETE FROM {}"),
        },
        elsewhere=_read_only,
        leftovers=_relations,
        inapplicable={"restricted": "all topics share one table, and permissions are per table"},
    ),
}
PENDING: Pending = {}
