"""`python examples/per-client-server PATTERN`: serve one of the patterns, with settings from the environment."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import uvicorn

PATTERNS = {
    "valkey-per-client": "valkey_per_client",
    "rabbitmq-per-client": "rabbitmq_per_client",
    "sse-starlette": "sse_starlette_queues",
}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PATTERNS:
        sys.exit(f"usage: python {sys.argv[0]} {'|'.join(PATTERNS)}")
    uvicorn.run(
        import_module(PATTERNS[sys.argv[1]]).app,
        host=os.environ.get("FANBENCH_HOST", "127.0.0.1"),
        port=int(os.environ.get("FANBENCH_PORT", "8000")),
        log_level="warning",
    )
