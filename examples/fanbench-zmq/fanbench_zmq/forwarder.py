"""The broker: one XPUB socket that passes each message to its subscribers. `python -m fanbench_zmq.forwarder PORT`."""

from __future__ import annotations

import sys

import zmq

from fanbench_zmq.wire import is_message


def forward(address: str) -> None:
    """Serve until the process is ended.

    The socket's queue is unbounded, because a limit would drop messages silently.
    """
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.sndhwm = socket.rcvhwm = 0
        socket.linger = 0
        socket.heartbeat_ivl, socket.heartbeat_timeout = 1_000, 3_000
        socket.bind(address)
        print(f"forwarder: {address}", flush=True)
        while True:
            frame = socket.recv()
            if is_message(frame):  # not a subscription, which the socket handles itself
                socket.send(frame)


if __name__ == "__main__":
    forward(f"tcp://127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 5555}")
