"""Stands in for a language model's API: answers a POST with a stream of chunks, as chat completions do.

`python tokens.py [PORT]`.
"""

import asyncio
import json
import random
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

TOKENS = 60
TOKENS_PER_S = 40


async def answer(request) -> StreamingResponse:
    """One answer: a delay, then the tokens."""
    await request.json()

    async def chunks():
        await asyncio.sleep(random.uniform(0.2, 0.6))
        for number in range(TOKENS):
            delta = {"choices": [{"index": 0, "delta": {"content": f"token {number} "}}]}
            yield f"data: {json.dumps(delta)}\n\n"
            await asyncio.sleep(1 / TOKENS_PER_S)
        yield "data: [DONE]\n\n"

    return StreamingResponse(chunks(), media_type="text/event-stream")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8002
app = Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
