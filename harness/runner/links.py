"""Links that a fault can break, each through a TCP proxy.

To the broker there is one proxy for each program and listener, to the clients one for each replica.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from brokers.contender import Contender
from brokers.redaction import take_apart
from core.tcp_proxy import TcpProxy


class BrokerLink:
    """One program's path to the broker through its own proxies; that program gets `url`."""

    def __init__(self, contender: Contender, listeners: Mapping[str, str], stack: ExitStack) -> None:
        used = [name for name in listeners if f"{{{name}}}" in contender.url]
        self._proxies = {name: stack.enter_context(TcpProxy(listeners[name])) for name in used}
        self.url = contender.url.format_map({name: proxy.address for name, proxy in self._proxies.items()})

    def cut(self) -> None:
        """Reset its connections and refuse new ones."""
        for proxy in self._proxies.values():
            proxy.cut()

    def delay(self, seconds: float) -> None:
        """Slow each direction down."""
        for proxy in self._proxies.values():
            proxy.delay(seconds)

    def stall(self) -> None:
        """Forward nothing, and keep the connections open."""
        for proxy in self._proxies.values():
            proxy.stall()

    def restore(self) -> None:
        """End the disturbance."""
        for proxy in self._proxies.values():
            proxy.restore()


def starting_at(url: str, place: int) -> str:
    """A broker's URL with its hosts rotated, so that the one at this place is first."""
    start, userinfo, at, rest = take_apart(url)
    end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
    hosts = rest[:end].split(",")
    first = place % len(hosts)
    return f"{start}{userinfo}{at}{','.join(hosts[first:] + hosts[:first])}{rest[end:]}"


class ClientLinks:
    """The clients' path to the replicas, through a proxy for each; Locust gets `urls` in the replicas' order.

    Unlike a link to the broker it works for every contender: a cluster's nodes announce their own addresses, which
    bypass a proxy.
    """

    def __init__(self, replica_urls: Sequence[str], stack: ExitStack) -> None:
        """`replica_urls` are http://host:port."""
        self._proxies = [stack.enter_context(TcpProxy(url.removeprefix("http://"))) for url in replica_urls]
        self.urls = [f"http://{proxy.address}" for proxy in self._proxies]

    def hold(self, seconds: float) -> None:
        """Forward nothing for this long, and keep the connections open; returns when the stall begins."""
        for proxy in self._proxies:
            proxy.hold(seconds)
