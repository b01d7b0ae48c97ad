"""Serves the page in `ui/`: its files and their headers."""

from __future__ import annotations

from pathlib import Path

import anyio._backends._asyncio  # noqa: F401 - anyio would import it, for a tenth of a second, at the first file served
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    # The address of the page may hold ?token=.
    "referrer-policy": "no-referrer",
    # The policy of the page's meta element, and one rule that only a header can set: no site may frame it.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def page_files(folder: Path) -> ASGIApp:
    """An ASGI application that serves the files of `folder` with HEADERS."""
    files = StaticFiles(directory=folder, html=True)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # Starlette before 1.0 fails with 500
            await send({"type": "websocket.close"})  # before it was accepted: 403
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await files(scope, receive, send_with_headers)

    return serve
