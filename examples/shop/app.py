"""A shop whose customers follow their orders: `uvicorn app:app --app-dir examples/shop`.

It stands in for your own service.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse

app = FastAPI()
listeners: dict[str, set[asyncio.Queue[str]]] = {}
"""The queues of each customer, by token, and of the news, under ''."""
deliveries: set[asyncio.Task[None]] = set()


def tell(whose: str, **fields: object) -> None:
    """Send an event to everybody who listens to the channel."""
    fields["at_ms"] = time.time_ns() // 1_000_000
    for queue in listeners.get(whose, ()):
        queue.put_nowait(f"data: {json.dumps(fields)}\n\n")


async def stream(whose: str) -> AsyncIterator[str]:
    """All later events."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    listeners.setdefault(whose, set()).add(queue)
    try:
        yield ": welcome\n\n"
        while True:
            yield await queue.get()
    finally:
        listeners[whose].discard(queue)


def customer(authorization: Annotated[str, Header()] = "") -> str:
    """The customer's token."""
    token = authorization.removeprefix("Bearer ")
    if not token or token not in listeners:
        raise HTTPException(401, "log in first")
    return token


@app.post("/login")
async def login() -> dict[str, str]:
    """Register a new customer."""
    token = secrets.token_hex(8)
    listeners[token] = set()
    return {"token": token}


@app.get("/products")
async def products() -> list[str]:
    """The products."""
    return ["lamp", "chair", "table"]


@app.get("/orders/events")
async def orders(authorization: Annotated[str, Header()] = "") -> StreamingResponse:
    """The customer's orders."""
    return StreamingResponse(stream(customer(authorization)), media_type="text/event-stream")


@app.get("/news")
async def news() -> StreamingResponse:
    """The most popular products."""
    return StreamingResponse(stream(""), media_type="text/event-stream")


@app.post("/orders", status_code=202)
async def buy(product: str, authorization: Annotated[str, Header()] = "") -> dict[str, str]:
    """Take an order, and deliver it."""
    token, number = customer(authorization), secrets.token_hex(4)
    task = asyncio.create_task(deliver(token, number))
    deliveries.add(task)
    task.add_done_callback(deliveries.discard)
    tell("", bought=product)
    return {"order": number}


async def deliver(token: str, number: str) -> None:
    """Move the order from one state to the next."""
    for state in ("paid", "packed", "shipped"):
        await asyncio.sleep(0.05)
        tell(token, order=number, state=state)
