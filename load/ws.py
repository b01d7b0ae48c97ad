"""The Locust suite for WebSockets: `locust -f load/ws.py --headless -u 200 -r 100 -t 20s --host http://127.0.0.1:8000`.

One user is one WebSocket to `/ws`; options, ledger and results are those of load/sse.py. docs/load.md describes them.
"""

from __future__ import annotations

from load.transport import WEBSOCKET
from load.users import StreamUser, measure

measure(WEBSOCKET)


class WebSocketClient(StreamUser):
    """One WebSocket for as long as the user lives."""
