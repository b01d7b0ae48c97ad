"""Finds adapters by the URL scheme they serve, through the entry-point group `fanbench.brokers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_args

from brokers.api import Adapter, Delivery
from brokers.endpoint import EVERY_URL, Endpoint, parse_url, with_password
from brokers.extras import not_installed
from brokers.options import Option
from brokers.tls import refuse_without_tls
from core.errors import UsageError, nearest

GROUP = "fanbench.brokers"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(slots=True)
class AdapterRegistry:
    """The adapters by the URL schemes that entry points are named after.

    Each is loaded when its scheme is requested: loading all client libraries would take a third of a program's start.
    """

    entries: dict[str, EntryPoint]
    """Adapters that are not loaded yet, by scheme."""
    by_scheme: dict[str, Adapter] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """What does not work and why, by scheme."""
    not_installed: dict[str, str] = field(default_factory=dict)
    """The missing client library and how to install it, by scheme. Such an adapter is not broken."""

    @property
    def schemes(self) -> list[str]:
        """All schemes, working or not."""
        return sorted({*self.entries, *self.by_scheme, *self.broken, *self.not_installed})

    def serving(self, scheme: str) -> Adapter | None:
        """The adapter of a scheme, loaded if necessary; no other adapter is loaded."""
        entry = self.entries.pop(scheme, None)
        if entry is not None:
            _load(entry, self)
        return self.by_scheme.get(scheme)

    def adapters(self) -> list[Adapter]:
        """Each working adapter once, by name."""
        return sorted({id(a): a for a in self.by_scheme.values()}.values(), key=lambda a: a.name)


def _texts(value: Any) -> bool:
    """Whether it has at least one string and only strings; a lone string would look like a sequence of letters."""
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(word, str) and word for word in value)


_SHAPE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a word", lambda value: isinstance(value, str) and bool(value)),
    "schemes": ("a tuple of URL schemes", lambda value: _texts(value) and all(map(_SCHEME.fullmatch, value))),
    "deliveries": (
        f"a tuple of {', '.join(get_args(Delivery))}",
        lambda v: _texts(v) and {*v} <= {*get_args(Delivery)},
    ),
    "replay": ("True or False", lambda value: isinstance(value, bool)),
    "max_topic_bytes": ("a number of bytes from 1 on", lambda v: type(v) is int and v > 0),
    "options": ("a tuple of Option", lambda v: isinstance(v, tuple) and all(isinstance(o, Option) for o in v)),
    "producer": ("a method", callable),
    "consumer": ("a method", callable),
}


def _faults(adapter: Any) -> Iterator[str]:
    """Return what is wrong with an entry point's object; its properties may raise anything."""
    if isinstance(adapter, type):
        yield "is a class; name an instance of it"
        return
    missing = [name for name in _SHAPE if not hasattr(adapter, name)]
    if missing:
        yield f"has no {', '.join(missing)}"
    for name in _SHAPE.keys() - missing:
        wanted, fits = _SHAPE[name]
        value = getattr(adapter, name)
        if not fits(value):
            yield f"has {name}={value!r}, which is not {wanted}"
    named = getattr(adapter, "delivery_options", {})
    if not isinstance(named, Mapping) or not all(isinstance(meant, Mapping) for meant in named.values()):
        yield f"has delivery_options={named!r}, which is not a dict of dicts"


def _ours(entry: EntryPoint) -> bool:
    return entry.value.startswith("brokers.")


def _load(entry: EntryPoint, registry: AdapterRegistry) -> None:
    scheme = entry.name
    try:
        adapter = entry.load()
        faults = "; ".join(sorted(_faults(adapter)))
    except (Exception, SystemExit) as error:  # a plug-in may raise anything; the others must keep working
        if isinstance(error, ImportError) and (how := not_installed(entry)) is not None:
            registry.not_installed[scheme] = how
        else:
            registry.broken[scheme] = f"{entry.value}: {type(error).__name__}: {error}"
        return
    if faults:
        registry.broken[scheme] = f"{entry.value} {faults}; see docs/adapters.md"
    elif scheme not in adapter.schemes:
        known = ", ".join(adapter.schemes)
        registry.broken[scheme] = f"{entry.value}: the entry point is named {scheme}, its schemes are {known}"
    else:
        registry.by_scheme[scheme] = adapter


@cache
def installed() -> AdapterRegistry:
    """The adapters installed here, none of them loaded before its scheme is requested.

    A plug-in cannot replace a built-in scheme; if two plug-ins have the same scheme, neither is used.
    """
    found = AdapterRegistry({})
    by_scheme: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        if entry not in by_scheme.setdefault(entry.name, []):
            by_scheme[entry.name].append(entry)
    for scheme, entries in by_scheme.items():
        ours = [entry for entry in entries if _ours(entry)]
        for entry in entries if ours else ():
            if entry not in ours:
                found.broken[entry.value] = f"{entry.value}: scheme {scheme}:// is fanbench's own; name another"
        if ours or len(entries) == 1:
            found.entries[scheme] = (ours or entries)[0]
        else:
            names = " and ".join(sorted(entry.value for entry in entries))
            found.broken[scheme] = f"{names} both serve {scheme}://; uninstall one of them"
    return found


def registry() -> AdapterRegistry:
    """All adapters installed here, loaded. A broken plug-in is reported by name and leaves the others working."""
    found = installed()
    for scheme in list(found.entries):
        found.serving(scheme)
    return found


@cache
def library_missing(scheme: str) -> str | None:
    """What the adapter of a scheme needs and lacks, and how to install it; imports no library."""
    entries = [entry for entry in entry_points(group=GROUP) if entry.name == scheme]
    return not_installed(min(entries, key=lambda entry: not _ours(entry))) if entries else None


def open_endpoint(url: str, delivery: str | None = None, password_file: Path | None = None) -> tuple[Adapter, Endpoint]:
    """Return the adapter for a broker URL, and the parsed URL.

    `password_file` is the file from the setting FANBENCH_BROKER_PASSWORD_FILE.

    Raises:
        UsageError: unknown scheme, unknown option or value, a promise that the adapter does not make, or a password
            file that cannot be read.
    """
    endpoint = parse_url(url, delivery or "")
    found = installed()
    adapter = found.serving(endpoint.scheme)
    if adapter is None:
        raise UsageError(f"broker URL {endpoint}: {_why_not(found, endpoint.scheme)}")
    known: dict[str, Option[Any]] = {option.name: option for option in (*adapter.options, *EVERY_URL)}
    for name in endpoint.options:
        if name not in known:
            raise UsageError(f"broker URL {endpoint}: unknown option '{name}'; {nearest(name, known)}")
        endpoint.get(known[name])
    refuse_without_tls(endpoint, adapter.schemes)
    delivery = _delivery(adapter, endpoint, delivery)
    if delivery not in adapter.deliveries:
        raise UsageError(
            f"broker URL {endpoint}: adapter {adapter.name} does not promise {delivery}; "
            f"it promises {' or '.join(adapter.deliveries)}"
        )
    ports: Mapping[str, int] = getattr(adapter, "default_ports", {})
    return adapter, with_password(parse_url(url, delivery, ports.get(endpoint.scheme)), password_file)


def _why_not(found: AdapterRegistry, scheme: str) -> str:
    if scheme in found.not_installed:
        return found.not_installed[scheme]
    if scheme in found.broken:
        return f"its adapter is broken: {found.broken[scheme]}"
    return f"unknown scheme '{scheme}'; {nearest(scheme, found.schemes)}"


def _delivery(adapter: Adapter, endpoint: Endpoint, delivery: str | None) -> str:
    """The promise that was requested by name, or by an option such as `qos=1` or `confirms=true`, or the adapter's default."""
    named: Mapping[str, Mapping[str, str]] = getattr(adapter, "delivery_options", {})
    for option in endpoint.options.keys() & named.keys():
        value = endpoint.options[option]
        meant = named[option].get(value)
        if meant is None:
            raise UsageError(f"broker URL {endpoint}: option {option}={value}; {nearest(value, named[option])}")
        if delivery not in (None, "", meant):
            raise UsageError(
                f"broker URL {endpoint}: option {option}={value} means {meant}, but {delivery} is requested; leave one out"
            )
        delivery = meant
    return delivery or adapter.deliveries[0]
