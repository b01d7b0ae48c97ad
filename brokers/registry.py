"""Finds adapters by the URL scheme they serve, through the entry-point group `fanbench.brokers`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from brokers.api import Adapter, Delivery
from brokers.endpoint import Endpoint, parse_url
from brokers.extras import not_installed
from core.errors import UsageError, nearest

GROUP = "fanbench.brokers"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


@dataclass(slots=True)
class AdapterRegistry:
    """The adapters that work, by scheme, and the entry points that do not, with the reason.

    One whose client library is not installed is not broken: `not_installed` says what to install.

    They are loaded as schemes are asked for: the client libraries of all of them take a program a third of its start.
    """

    ahead: list[EntryPoint]
    """Those not loaded yet."""
    by_scheme: dict[str, Adapter] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    not_installed: dict[str, str] = field(default_factory=dict)

    def serving(self, scheme: str) -> Adapter | None:
        """The adapter of a scheme; no more are loaded than have to be. Those named like the scheme come first."""
        self.ahead.sort(key=partial(_place, scheme))
        while scheme not in self.by_scheme and self.ahead:
            _load(self.ahead.pop(0), self)
        return self.by_scheme.get(scheme)

    def obstacle(self, scheme: str) -> str | None:
        """Why the adapter that is named like the scheme does not serve it; None if nothing is known against it."""
        told = {name: f"its adapter is broken: {why}" for name, why in self.broken.items()} | self.not_installed
        alike = {name: why for name, why in told.items() if _words_in_common(scheme, name)}
        return alike[max(alike, key=partial(_words_in_common, scheme))] if alike else None

    def adapters(self) -> list[Adapter]:
        """Each working adapter once, by name."""
        return sorted({id(a): a for a in self.by_scheme.values()}.values(), key=lambda a: a.name)


def _words_in_common(scheme: str, name: str) -> int:
    words = {part for word in scheme.split("+") for part in (word, word.removesuffix("s"))}
    return len(words.intersection(name.split("-")))


def _place(scheme: str, entry: EntryPoint) -> tuple[bool, int, str]:
    """Where it is in the order of loading: ours before all others, so that a plug-in cannot take a built-in scheme."""
    return not entry.value.startswith("brokers."), -_words_in_common(scheme, entry.name), entry.name


def _texts(value: Any) -> bool:
    """Whether it holds words, at least one: a lone word would pass for a sequence of letters."""
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(word, str) and word for word in value)


_SHAPE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a word", lambda value: isinstance(value, str) and bool(value)),
    "schemes": ("a tuple of URL schemes", lambda value: _texts(value) and all(map(_SCHEME.fullmatch, value))),
    "deliveries": (
        f"a tuple of {', '.join(get_args(Delivery))}",
        lambda v: _texts(v) and {*v} <= {*get_args(Delivery)},
    ),
    "replay": ("True or False", lambda value: isinstance(value, bool)),
    "options": ("a dict of words", lambda v: isinstance(v, Mapping) and (not v or _texts([*v, *v.values()]))),
    "producer": ("a method", callable),
    "consumer": ("a method", callable),
}


def _faults(adapter: Any) -> Iterator[str]:
    """What is wrong with the shape of what an entry point names; a property of it may raise anything."""
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


def _load(entry: EntryPoint, registry: AdapterRegistry) -> None:
    try:
        adapter = entry.load()
        faults = "; ".join(sorted(_faults(adapter)))
    except (Exception, SystemExit) as error:  # a stranger's module may raise anything; the others must go on working
        if isinstance(error, ImportError) and (how := not_installed(entry)) is not None:
            registry.not_installed[entry.name] = how
            return
        registry.broken[entry.name] = f"{entry.value}: {type(error).__name__}: {error}"
        return
    if faults:
        registry.broken[entry.name] = f"{entry.value} {faults}; see docs/adapters.md"
        return
    for scheme in adapter.schemes:
        taken = registry.by_scheme.get(scheme)
        if taken is not None:
            registry.broken[entry.name] = f"{entry.value}: scheme {scheme}:// is already served by {taken.name}"
            return
    registry.by_scheme.update(dict.fromkeys(adapter.schemes, adapter))


@cache
def installed() -> AdapterRegistry:
    """The adapters installed here, none of them loaded before its scheme is asked for."""
    return AdapterRegistry(list(entry_points(group=GROUP)))


def registry() -> AdapterRegistry:
    """All adapters installed here, loaded. A broken plug-in is reported by name and leaves the others working."""
    found = installed()
    found.serving("")  # no adapter has it
    return found


@cache
def library_missing(scheme: str) -> str | None:
    """What the adapter of a built-in scheme needs and is not installed, and how to get it; no library is imported."""
    alike = [entry for entry in entry_points(group=GROUP) if _words_in_common(scheme, entry.name)]
    return not_installed(min(alike, key=partial(_place, scheme))) if alike else None


def open_endpoint(url: str, delivery: str | None = None) -> tuple[Adapter, Endpoint]:
    """The adapter for a broker URL, and the URL taken apart.

    Raises:
        UsageError: unknown scheme, unknown option, or a promise that the adapter does not make.
    """
    endpoint = parse_url(url, delivery or "")
    found = installed()
    adapter = found.serving(endpoint.scheme)
    if adapter is None:
        why = found.obstacle(endpoint.scheme)
        unknown = f"unknown scheme '{endpoint.scheme}'; {nearest(endpoint.scheme, found.by_scheme)}"
        raise UsageError(f"broker URL {endpoint}: {why or unknown}")
    for option in endpoint.options:
        if option not in adapter.options:
            raise UsageError(f"broker URL {endpoint}: unknown option '{option}'; {nearest(option, adapter.options)}")
    delivery = _delivery(adapter, endpoint, delivery)
    if delivery not in adapter.deliveries:
        raise UsageError(
            f"broker URL {endpoint}: adapter {adapter.name} does not promise {delivery}; "
            f"it promises {' or '.join(adapter.deliveries)}"
        )
    return adapter, parse_url(url, delivery)


def _delivery(adapter: Adapter, endpoint: Endpoint, delivery: str | None) -> str:
    """What is asked for by name, or by an option such as `qos=1` or `confirms=true`, or the adapter's default."""
    named: Mapping[str, Mapping[str, str]] = getattr(adapter, "delivery_options", {})
    for option in endpoint.options.keys() & named.keys():
        value = endpoint.options[option]
        meant = named[option].get(value)
        if meant is None:
            raise UsageError(f"broker URL {endpoint}: option {option}={value}; {nearest(value, named[option])}")
        if delivery not in (None, "", meant):
            raise UsageError(
                f"broker URL {endpoint}: option {option}={value} means {meant}, but {delivery} is asked for; leave one out"
            )
        delivery = meant
    return delivery or adapter.deliveries[0]
