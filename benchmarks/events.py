"""The benchmarks' events, as a generator publishes them and as a replica sends them."""

from __future__ import annotations

from core.clock import now_ns
from core.stamp import Stamp, encode, new_stream

PAYLOAD_BYTES = 200
TOPIC = "events"
SERVER = "replica"
_ID_LINE_BYTES = len("id: abcdefgh-1234\n")


class Events:
    """A stream of measured events, gap-free."""

    def __init__(self) -> None:
        self._stream = new_stream()
        self._seq = 0

    def payload(self, extra_bytes: int = 0) -> bytes:
        """The next event as published, with PAYLOAD_BYTES and the extra bytes."""
        moment_ns = now_ns()
        stamp = Stamp(self._stream, self._seq, TOPIC, "measure", moment_ns, moment_ns)
        self._seq += 1
        return encode(stamp, "x" * (PAYLOAD_BYTES + extra_bytes - len(encode(stamp))))

    def sent_on(self) -> bytes:
        """The next event as the data of a replica's frame, longer by the id line that a replica sends first."""
        prefix = f'{{"server":"{SERVER}","received_ns":{now_ns()},'
        return prefix.encode() + self.payload(_ID_LINE_BYTES)[1:]
