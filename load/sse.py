"""The Locust suite for SSE: `locust -f load/sse.py --headless -u 200 -r 100 -t 20s --host http://127.0.0.1:8000`.

One user is one SSE connection. docs/load.md describes options and results.
"""

from __future__ import annotations

from load.transport import SSE
from load.users import StreamUser, measure

measure(SSE)


class SSEClient(StreamUser):
    """One SSE connection for as long as the user lives."""
