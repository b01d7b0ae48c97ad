"""Sends the same bytes to many sockets with one system call: io_uring, where the kernel has it and allows it.

A fan-out is one send to each client. As a system call each, the way into the kernel and out again, and Python's loop
around it, are a sixth of its cost; docs/decisions/0003-batched-sends.md has the figures. The ring is used for nothing
else, and never waits: what a socket does not take at once is told, and is the caller's to hold.

The numbers and layouts below are those of io_uring_setup(2), io_uring_enter(2) and <linux/io_uring.h>.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket

import numpy as np
import numpy.typing as npt

Descriptors = npt.NDArray[np.int32]
Sent = npt.NDArray[np.int32]

ENTRIES = 1024
"""Sends to a system call; a power of two."""

_SETUP, _ENTER = 425, 426
_GETEVENTS = 1
_OP_SEND = 26
_SQ_RING, _SQ_ENTRIES = 0, 0x10000000
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_SETUP_ERROR = {
    errno.ENOSYS: "this kernel has no io_uring",
    errno.EPERM: "io_uring is forbidden here (kernel.io_uring_disabled, or a container's seccomp profile)",
}

_SEND = np.dtype(
    {
        "names": ["opcode", "fd", "addr", "len", "msg_flags", "user_data"],
        "formats": ["u1", "<i4", "<u8", "<u4", "<u4", "<u8"],
        "offsets": [0, 4, 16, 24, 28, 32],
        "itemsize": 64,
    }
)
_COMPLETION = np.dtype([("user_data", "<u8"), ("res", "<i4"), ("flags", "<u4")])

_libc = ctypes.CDLL(None, use_errno=True)


class Ring:
    """One submission and one completion queue, used by one thread.

    Raises:
        OSError: the kernel has no io_uring, forbids it, or has one that would wait where it must not.
    """

    def __init__(self) -> None:
        parameters = (ctypes.c_uint32 * 30)()
        self._fd = int(_libc.syscall(_SETUP, ENTRIES, parameters))
        if self._fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, _SETUP_ERROR.get(code, os.strerror(code)))
        try:
            self._map(list(parameters))
            self._prove()
        except BaseException:
            os.close(self._fd)
            raise

    def _map(self, parameters: list[int]) -> None:
        entries, completions = parameters[0], parameters[1]
        # Offsets of head, tail, ring_mask, ring_entries, flags, dropped, array; and head, tail, mask, entries, overflow, cqes.
        submitted, completed = parameters[10:17], parameters[20:26]
        size = max(submitted[6] + 4 * entries, completed[5] + _COMPLETION.itemsize * completions)
        rings = mmap.mmap(self._fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=_SQ_RING)
        slots = mmap.mmap(self._fd, _SEND.itemsize * entries, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=_SQ_ENTRIES)
        words = np.frombuffer(rings, dtype=np.uint32, count=size // 4)
        self._tail = words[submitted[1] // 4 :][:1]
        self._done_head, self._done_tail = words[completed[0] // 4 :][:1], words[completed[1] // 4 :][:1]
        self._done = np.frombuffer(rings, dtype=_COMPLETION, count=completions, offset=completed[5])
        self._slots = np.frombuffer(slots, dtype=_SEND, count=entries)
        self._slots["opcode"] = _OP_SEND
        self._slots["msg_flags"] = _FLAGS
        self._slots["user_data"] = np.arange(entries)
        words[submitted[6] // 4 :][:entries] = np.arange(entries)

    def _prove(self) -> None:
        """Send a byte, and then to a full socket: both must be done when the system call returns."""
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            sent = self._submit(np.array([one.fileno()], dtype=np.int32), b"x", wait=False)
            filled = 0
            while filled < 10_000_000 and sent[0] == 1:
                try:
                    filled += one.send(bytes(65_536))
                except BlockingIOError:
                    break
            refused = self._submit(np.array([one.fileno()], dtype=np.int32), b"x", wait=False)
            if sent[0] != 1 or refused[0] != -errno.EAGAIN:
                raise OSError(
                    errno.EOPNOTSUPP, f"this kernel's io_uring answers {sent[0]} and {refused[0]} to two sends"
                )

    def send(self, descriptors: Descriptors, data: bytes) -> Sent:
        """Send `data` to each socket; shape (sockets,): how many bytes each took, or a negated errno.

        Raises:
            OSError: the kernel took no more sends; which of them left is then not known.
        """
        if len(descriptors) <= ENTRIES:
            return self._submit(descriptors, data, wait=True)
        parts = [
            self._submit(descriptors[i : i + ENTRIES], data, wait=True) for i in range(0, len(descriptors), ENTRIES)
        ]
        return np.concatenate(parts)

    def _submit(self, descriptors: Descriptors, data: bytes, *, wait: bool) -> Sent:
        count = len(descriptors)
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        tail = int(self._tail[0])
        first = tail % ENTRIES
        till_end = min(count, ENTRIES - first)
        sent = np.full(ENTRIES, -errno.EINPROGRESS, dtype=np.int32)
        for slots, part in (
            (self._slots[first : first + till_end], descriptors[:till_end]),
            (self._slots[: count - till_end], descriptors[till_end:]),
        ):
            slots["fd"] = part
            slots["addr"] = address
            slots["len"] = len(data)
        self._tail[0] = (tail + count) & 0xFFFFFFFF
        left = count
        while left:
            taken = int(_libc.syscall(_ENTER, self._fd, left, left if wait else 0, _GETEVENTS, None, 0))
            if taken < 0 and ctypes.get_errno() != errno.EINTR:
                code = ctypes.get_errno()
                raise OSError(code, f"io_uring_enter: {os.strerror(code)}")
            left -= max(0, taken)
        self._reap(sent)
        # The send of socket i lies in slot first + i, and a completion names its slot.
        return sent[(first + np.arange(count)) % ENTRIES]

    def _reap(self, sent: Sent) -> None:
        head, tail = int(self._done_head[0]), int(self._done_tail[0])
        done = self._done[(head + np.arange((tail - head) & 0xFFFFFFFF)) % len(self._done)]
        sent[done["user_data"]] = done["res"]
        self._done_head[0] = tail

    def close(self) -> None:
        """Give the ring back."""
        os.close(self._fd)
