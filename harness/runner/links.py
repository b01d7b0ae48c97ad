"""Links to the broker that a fault can break: one TCP proxy for each program and listener."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from brokers.contender import Contender
from core.tcp_proxy import TcpProxy


class BrokerLink:
    """One program's way to the broker, through proxies of its own; `url` is what that program is given."""

    def __init__(self, contender: Contender, listeners: Mapping[str, str], stack: ExitStack) -> None:
        used = [name for name in listeners if f"{{{name}}}" in contender.url]
        self._proxies = {name: stack.enter_context(TcpProxy(listeners[name])) for name in used}
        self.url = contender.url.format_map({name: proxy.address for name, proxy in self._proxies.items()})

    def cut(self) -> None:
        """Reset its connections, and refuse new ones."""
        for proxy in self._proxies.values():
            proxy.cut()

    def delay(self, seconds: float) -> None:
        """Slow each direction down."""
        for proxy in self._proxies.values():
            proxy.delay(seconds)

    def stall(self) -> None:
        """Pass nothing on, and keep the connections."""
        for proxy in self._proxies.values():
            proxy.stall()

    def restore(self) -> None:
        """An undisturbed link again."""
        for proxy in self._proxies.values():
            proxy.restore()
