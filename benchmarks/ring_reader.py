"""The streams of `epoll_reader.py`, received by io_uring: a prototype with the same command line, for `python -m benchmarks.receive`.

Each socket has one multishot receive. The kernel puts what arrives into a ring of buffers, and an eventfd says that there is
something. docs/decisions/0021-batched-receives.md says what this gains. Numbers and layouts are those of <linux/io_uring.h>.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import select
import sys
from collections.abc import Iterator

import numpy as np

from benchmarks.epoll_reader import KEEP, MARK, Streams, say

ENTRIES, COMPLETIONS = 256, 4_096
BUFFERS, BUFFER_BYTES = 1_024, 16_384
_SETUP, _ENTER, _REGISTER = 425, 426, 427
_SETUP_FLAGS = 1 << 3 | 1 << 12 | 1 << 13
"""CQSIZE, SINGLE_ISSUER and DEFER_TASKRUN: receives run within our system call, not wherever the kernel interrupts us."""
_GETEVENTS, _EVENTFD, _BUFFER_RING = 1, 4, 22
_RECEIVE, _MULTISHOT, _BUFFER_SELECT = 27, 2, 1 << 5
_MORE, _SILENT = 2, 1
_SUBMISSION = np.dtype(
    {
        "names": ["opcode", "flags", "ioprio", "fd", "user_data"],
        "formats": ["u1", "u1", "<u2", "<i4", "<u8"],
        "offsets": [0, 1, 2, 4, 32],
        "itemsize": 64,
    }
)
_BUFFER = np.dtype([("addr", "<u8"), ("len", "<u4"), ("bid", "<u2"), ("tail", "<u2")])
_call = ctypes.CDLL(None, use_errno=True).syscall
_call.restype = ctypes.c_long


def _syscall(*words: object) -> int:
    found = int(_call(*words))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


class ReceiveRing:
    """Receives from many sockets.

    Raises:
        OSError: the kernel has no io_uring, forbids it, or is older than 6.1.
    """

    def __init__(self) -> None:
        parameters = (ctypes.c_uint32 * 30)()
        parameters[1], parameters[2] = COMPLETIONS, _SETUP_FLAGS
        self._fd = _syscall(_SETUP, ENTRIES, parameters)
        submitted, completed = list(parameters[10:17]), list(parameters[20:27])
        size = max(submitted[6] + 4 * ENTRIES, completed[5] + 16 * COMPLETIONS)
        self._rings = mmap.mmap(self._fd, size, mmap.MAP_SHARED)
        slots = mmap.mmap(self._fd, 64 * ENTRIES, mmap.MAP_SHARED, offset=0x10000000)
        self._words = memoryview(self._rings).cast("I")
        np.frombuffer(self._rings, "<u4", ENTRIES, submitted[6])[:] = np.arange(ENTRIES)
        self._slots = np.frombuffer(slots, dtype=_SUBMISSION)
        self._slots["opcode"], self._slots["flags"], self._slots["ioprio"] = _RECEIVE, _BUFFER_SELECT, _MULTISHOT
        self._done = np.frombuffer(self._rings, "<u8", 2 * COMPLETIONS, completed[5]).reshape(COMPLETIONS, 2)
        self._submit_tail = submitted[1] // 4
        self._head, self._tail, self._flags = completed[0] // 4, completed[1] // 4, completed[6] // 4
        self._sent = self._seen = 0
        self._make_buffers()
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK)
        _syscall(_REGISTER, self._fd, _EVENTFD, ctypes.byref(ctypes.c_int(self.eventfd)), 1)

    def _make_buffers(self) -> None:
        self._memory = mmap.mmap(-1, BUFFERS * BUFFER_BYTES)
        self._ring = mmap.mmap(-1, BUFFERS * _BUFFER.itemsize)
        address, ring = (ctypes.addressof(ctypes.c_char.from_buffer(one)) for one in (self._memory, self._ring))
        description = (ctypes.c_uint64 * 5)(ring, BUFFERS)
        _syscall(_REGISTER, self._fd, _BUFFER_RING, description, 1)
        self._buffers = np.frombuffer(self._ring, _BUFFER)
        self._addresses = address + np.arange(BUFFERS, dtype=np.uint64) * np.uint64(BUFFER_BYTES)
        self._buffers["len"] = BUFFER_BYTES
        self._given = 0
        self._give(list(range(BUFFERS)))

    def _give(self, numbers: list[int]) -> None:
        places = (self._given + np.arange(len(numbers))) % BUFFERS
        self._buffers["bid"][places], self._buffers["addr"][places] = numbers, self._addresses[numbers]
        self._given += len(numbers)
        self._buffers["tail"][0] = self._given & 0xFFFF

    def close(self) -> None:
        """Release the ring."""
        os.close(self._fd)
        os.close(self.eventfd)

    def arm(self, fd: int) -> None:
        """Receive from that socket from now on."""
        slot = self._sent % ENTRIES
        self._slots["fd"][slot] = self._slots["user_data"][slot] = fd
        self._sent += 1
        self._words[self._submit_tail] = self._sent & 0xFFFFFFFF
        _syscall(_ENTER, self._fd, 1, 0, 0, None, 0)

    def received(self) -> Iterator[tuple[int, bytes]]:
        """What has arrived, with its socket; empty bytes at its end, or after an error."""
        os.eventfd_read(self.eventfd)
        self._words[self._flags] = _SILENT  # no wake-up for what is taken below anyway
        awake = False
        while True:
            found = self._completions()
            if found:
                awake = False
                yield from self._taken(found)
            elif awake:
                return
            else:  # data that came before the wake-ups were on again caused none
                self._words[self._flags] = 0
                awake = True

    def _completions(self) -> list[list[int]]:
        _call(_ENTER, self._fd, 0, 0, _GETEVENTS, None, 0)
        count = (self._words[self._tail] - self._seen) & 0xFFFFFFFF
        at = self._seen % COMPLETIONS
        found: list[list[int]] = self._done[at : at + count].tolist()
        if len(found) < count:
            found += self._done[: count - len(found)].tolist()
        self._seen += count
        self._words[self._head] = self._seen & 0xFFFFFFFF
        return found

    def _taken(self, found: list[list[int]]) -> Iterator[tuple[int, bytes]]:
        used = []
        for fd, result in found:
            size, flags = result & 0xFFFFFFFF, result >> 32
            if 0 < size < 1 << 31:
                used.append(flags >> 16)
                at = (flags >> 16) * BUFFER_BYTES
                yield fd, self._memory[at : at + size]
                if not flags & _MORE:
                    self.arm(fd)
            else:
                yield fd, b""
        if used:
            self._give(used)


class RingStreams(Streams):
    """Opens its streams like the epoll reader, and receives through the ring."""

    def follow(self, pause_s: float) -> None:
        """Receive and count until stdin ends."""
        ring, control, waiting = ReceiveRing(), sys.stdin.fileno(), select.epoll()
        for fd in self.sockets:
            ring.arm(fd)
        waiting.register(control, select.EPOLLIN)
        waiting.register(ring.eventfd, select.EPOLLIN)
        while True:
            for ready, _ in waiting.poll():
                if ready != control:
                    self._count(ring)
                elif os.read(control, 4096):
                    say(events=self.events, bytes=self.bytes, open=len(self.sockets))
                else:
                    return

    def _count(self, ring: ReceiveRing) -> None:
        tails = self.tails
        for fd, data in ring.received():
            if not data:
                self.sockets.pop(fd).close()
                continue
            self.bytes += len(data)
            if tails:
                data = tails.pop(fd, b"") + data
            self.events += data.count(MARK)
            if data[-1] != 10:
                tails[fd] = data[-KEEP:]


if __name__ == "__main__":
    streams = RingStreams(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    say(opened_s=streams.open_all())
    streams.follow(0.0)
