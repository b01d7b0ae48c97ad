"""A network for each node of a cluster, with links that can be cut.

Each node runs in its own Linux network namespace. Another namespace has a bridge that joins them, and this machine has
one link to it, with an unused subnet of 198.18.0.0/15 (RFC 2544: for measurements). Only that link has a name that
could remain: a namespace disappears with its last process, and everything in it too.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from brokers.programs.finding import on_path
from brokers.programs.networks import Rejoin, host_of
from core.errors import FanbenchError, TransientError
from core.process import Child, spawn

MEASURING = IPv4Network("198.18.0.0/15")
_LIKE_DEFAULT = 8
"""Routes with a shorter prefix cover everything, and do not occupy a subnet."""
_NOBODY = "02:00:00:00:00:fe"
"""An Ethernet address that no link has: packets to it disappear without an error at the sender."""
_FIRST_NODE = 11
"""The last byte of the first node's address; this machine's is 1."""
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_TIMEOUT_S = 10.0
_POLL_S = 0.01
_own_ports = itertools.count(4001)
"""Ports below the kernel's ephemeral ones: each identifies a node among all that this process has started."""


class NodeNetworks:
    """A network for each node; impossible if `why_not` gives a reason."""

    def __init__(self, nodes: int, folder: Path) -> None:
        """Make networks for `count` nodes; the processes that hold the namespaces log to `folder`.

        Raises:
            FanbenchError: a network cannot be made; the message contains the reason of `ip` or `unshare`.
        """
        self.holders: list[Child] = []
        self.link = ""
        self._hosts: dict[str, Child] = {}
        try:
            self._make(nodes, folder)
        except BaseException:
            self.close()
            raise

    def _make(self, nodes: int, folder: Path) -> None:
        for place in range(nodes + 1):
            command = ["unshare", "--net", "sleep", "infinity"]
            self.holders.append(spawn(f"network-{place}", command, folder / f"network-{place}.log"))
        for holder in self.holders:
            _wait_until_apart(holder)
        switch, *others = self.holders
        self.link, subnet = _link_to(switch)
        _ip(switch, ["link add switch type bridge", "link set switch up", "link set host up master switch"])
        for place, holder in enumerate(others):
            host = str(subnet[_FIRST_NODE + place])
            port = f"node-{place + 1}"
            join = [f"link add {port} type veth peer name eth0 netns {holder.pid}", f"link set {port} up master switch"]
            _ip(switch, join)
            _ip(holder, ["link set lo up", f"address add {host}/{subnet.prefixlen} dev eth0", "link set eth0 up"])
            self._hosts[host] = holder
        _ip(None, [f"address add {subnet[1]}/{subnet.prefixlen} dev {self.link}", f"link set {self.link} up"])

    def addresses(self, count: int) -> list[str]:
        """See Network."""
        return [f"{host}:{next(_own_ports)}" for host in itertools.islice(self._hosts, count)]

    def enter(self, address: str) -> list[str]:
        """See Network."""
        return _enter(self._hosts[host_of(address)])

    def cut(self, address: str) -> Rejoin:
        """See Network: packets are dropped silently in both directions, like on a pulled cable."""
        lonely = host_of(address)
        pairs = [pair for other in self._hosts if other != lonely for pair in ((lonely, other), (other, lonely))]
        self._neighbours(pairs, f"replace {{}} lladdr {_NOBODY} nud permanent dev eth0")
        return lambda: self._neighbours(pairs, "del {} dev eth0")

    def _neighbours(self, pairs: Sequence[tuple[str, str]], what: str) -> None:
        for host, holder in self._hosts.items():
            if lines := [f"neighbour {what.format(far)}" for near, far in pairs if near == host]:
                _ip(holder, lines)

    def close(self) -> None:
        """See Network. The nodes must have ended."""
        if self.link:
            with contextlib.suppress(FanbenchError):  # it disappears with its other end
                _ip(None, [f"link del {self.link}"])
            self.link = ""
        while self.holders:
            self.holders.pop().kill()


def why_not() -> str | None:
    """Why nodes cannot have separate networks here, and what to do; None if they can."""
    if sys.platform != "linux":
        return "needs Linux, because it uses network namespaces"
    lacking = [name for name in ("ip", "unshare", "nsenter") if on_path(name) is None]
    if lacking:
        return f"needs {', '.join(lacking)} (packages iproute2 and util-linux): install them"
    if not _privileged():
        return (
            "needs root for network namespaces: sudo fanbench …, "
            "or unshare --map-root-user --net sh -c 'ip link set lo up && fanbench …'"
        )
    return None


def _privileged() -> bool:
    """Whether this process has the capabilities that networks need."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return all(effective >> number & 1 for number in _CAPABILITIES.values())


def _enter(holder: Child) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]


def _wait_until_apart(holder: Child) -> None:
    """Return once the process has its own network."""
    deadline = time.monotonic() + _TIMEOUT_S
    while holder.returncode is None:
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{holder.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
                return
        if time.monotonic() > deadline:
            raise TransientError(f"{holder.name}: no network namespace within {_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)
    raise FanbenchError(f"{holder.name}: no network namespace; {holder.last_words()}")


def _link_to(switch: Child) -> tuple[str, IPv4Network]:
    """A link from this machine to the switch: its name, and the subnet that the name reserves."""
    taken = _routed()
    for number, subnet in enumerate(MEASURING.subnets(new_prefix=24)):
        if any(subnet.overlaps(other) for other in taken):
            continue
        name = f"fanbench-{number}"
        try:
            _ip(None, [f"link add {name} type veth peer name host netns {switch.pid}"])
        except FanbenchError as error:
            if "exists" in str(error):  # another run has it
                continue
            raise
        return name, subnet
    raise FanbenchError(
        f"no free /24 in {MEASURING} for the nodes' networks; `ip route show table all` shows what uses them"
    )


def _routed() -> list[IPv4Network]:
    """The destinations of this machine's routes, except the default route."""
    found = json.loads(_run(["ip", "-4", "-json", "route", "show", "table", "all"]) or "[]")
    networks = [IPv4Network(row["dst"], strict=False) for row in found if row["dst"] != "default"]
    return [network for network in networks if network.prefixlen >= _LIKE_DEFAULT]


def _ip(inside: Child | None, lines: Sequence[str]) -> None:
    """Run `ip` commands in this machine's network or in a holder's.

    Raises:
        FanbenchError: one of them failed; the message contains its output.
    """
    before = [] if inside is None else _enter(inside)
    _run([*before, "ip", "-batch", "-"], "\n".join(lines) + "\n")


def _run(command: Sequence[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise FanbenchError(f"the nodes' networks: {' '.join((text or ' '.join(command)).split())}: {said}")
    return done.stdout
