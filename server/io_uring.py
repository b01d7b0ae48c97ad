"""Sends the same bytes to many sockets with one system call: io_uring, if the kernel has it and allows it.

A fan-out is one send to each client. With one system call per send, entering the kernel and Python's loop are a sixth
of its cost; docs/decisions/0003-batched-sends.md gives the figures. The ring does nothing else and never waits: it
reports what a socket does not take at once, and the caller keeps it. The numbers and layouts below are those of
io_uring_setup(2), io_uring_enter(2) and <linux/io_uring.h>.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import socket

import numpy as np
import numpy.typing as npt

Descriptors = npt.NDArray[np.int32]
Short = list[tuple[int, int]]
"""Sockets that did not take everything: index among the descriptors, and bytes taken or a negated errno."""

ENTRIES = 128
"""Sends per system call, a power of two: about 1 ms, during which the kernel may give the core to nobody else."""

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

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_address_of = ctypes.pythonapi.PyBytes_AsString
_address_of.argtypes = [ctypes.py_object]
_address_of.restype = ctypes.c_void_p


class IoUring:
    """One submission and one completion queue, used by one thread.

    Raises:
        OSError: the kernel has no io_uring, forbids it, or has one that may wait.
    """

    def __init__(self) -> None:
        parameters = (ctypes.c_uint32 * 30)()
        self._fd = int(_syscall(ctypes.c_long(_SETUP), ctypes.c_uint(ENTRIES), parameters))
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
        words[submitted[6] // 4 :][:entries] = np.arange(entries)
        sends = np.frombuffer(slots, dtype=_SEND, count=entries)
        sends["opcode"], sends["msg_flags"], sends["user_data"] = _OP_SEND, _FLAGS, np.arange(entries)
        self._descriptors, self._addresses, self._sizes = sends["fd"], sends["addr"], sends["len"]
        self._tail = words[submitted[1] // 4 :][:1]
        done = np.frombuffer(rings, dtype=_COMPLETION, count=completions, offset=completed[5])
        self._slots, self._results = done["user_data"], done["res"]
        self._head, self._done = words[completed[0] // 4 :][:1], words[completed[1] // 4 :][:1]
        self._sent = self._seen = 0
        """Submitted and reaped entries since the start."""
        self.usable = True
        """False permanently after a failed send: the ring may still contain what the kernel did not accept."""

    def _prove(self) -> None:
        """Send a byte to a socket, then to a full one: both sends must have finished when the system call returns."""
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            descriptors = np.array([one.fileno()], dtype=np.int32)
            self._submit(descriptors, b"x", wait=False)
            taken = self._reap(1, 1)
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.send(bytes(65_536))
            self._submit(descriptors, b"x", wait=False)
            refused = self._reap(1, 1)
            if taken or refused != [(0, -errno.EAGAIN)]:
                raise OSError(errno.EOPNOTSUPP, f"this kernel's io_uring answers {taken} and {refused} to two sends")

    def send(self, descriptors: Descriptors, data: bytes) -> Short:
        """Send `data` to each socket; return those that did not take all of it.

        Raises:
            OSError: the kernel stopped accepting sends. It is then unknown which were sent, and the ring is not
            `usable`.
        """
        short: Short = []
        try:
            for first in range(0, len(descriptors), ENTRIES):
                part = descriptors[first : first + ENTRIES]
                self._submit(part, data, wait=True)
                short += [(first + place, taken) for place, taken in self._reap(len(part), len(data))]
        except OSError:
            self.usable = False
            raise
        return short

    def _submit(self, descriptors: Descriptors, data: bytes, *, wait: bool) -> None:
        count, first = len(descriptors), self._sent % ENTRIES
        till_end = min(count, ENTRIES - first)
        address = _address_of(data)
        self._fill(slice(first, first + till_end), descriptors[:till_end], address, len(data))
        if till_end < count:
            self._fill(slice(0, count - till_end), descriptors[till_end:], address, len(data))
        self._sent += count
        self._tail[0] = self._sent & 0xFFFFFFFF
        left = count
        while left:
            taken = int(_syscall(_ENTER, self._fd, left, left if wait else 0, _GETEVENTS, None, 0))
            if taken < 0 and ctypes.get_errno() != errno.EINTR:
                code = ctypes.get_errno()
                raise OSError(code, f"io_uring_enter: {os.strerror(code)}")
            left -= max(0, taken)

    def _fill(self, slots: slice, descriptors: Descriptors, address: int, size: int) -> None:
        self._descriptors[slots] = descriptors
        self._addresses[slots] = address
        self._sizes[slots] = size

    def _reap(self, count: int, size: int) -> Short:
        there = (int(self._done[0]) - self._seen) & 0xFFFFFFFF
        if there != count:
            raise OSError(errno.EOPNOTSUPP, f"io_uring finished {there} of {count} sends at once")
        at = self._seen % len(self._results)
        self._seen += count
        if at + count <= len(self._results):
            results, slots = self._results[at : at + count], self._slots[at : at + count]
        else:
            results, slots = (
                np.concatenate([all_[at:], all_[: at + count - len(all_)]]) for all_ in (self._results, self._slots)
            )
        # The send of socket i is in slot first + i, and a completion names its slot.
        first = self._sent - count
        short = [((int(slots[i]) - first) % ENTRIES, int(results[i])) for i in np.flatnonzero(results != size)]
        self._head[0] = self._seen & 0xFFFFFFFF
        return short

    def close(self) -> None:
        """Release the ring."""
        os.close(self._fd)
