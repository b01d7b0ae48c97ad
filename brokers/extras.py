"""Finds out from package metadata whether an adapter's client library is installed, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def not_installed(entry: EntryPoint) -> str | None:
    """`aiomqtt is not installed: pip install 'fanbench[mqtt]'`; None if everything that it needs is installed.

    An entry point names the extras that it needs in square brackets. Without extras it needs the package's own
    requirements.
    """
    if entry.dist is None:
        return None
    return _first_missing(entry.dist, tuple(entry.extras))


def extra_missing(package: str, extra: str) -> str | None:
    """Like `not_installed`, for an extra of a package; None also if the package runs from source, not installed."""
    try:
        return _first_missing(distribution(package), (extra,))
    except PackageNotFoundError:
        return None


def _first_missing(package: Distribution, extras: tuple[str, ...]) -> str | None:
    missing = next(_missing(package, extras or ("",), set()), None)
    if missing is None:
        return None
    wanted = f"{package.name}[{','.join(extras)}]" if extras else f"{missing.name}{missing.specifier}"
    return f"{missing.name} is not installed: pip install '{wanted}'"


def _missing(package: Distribution, extras: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[Requirement]:
    """The package's missing requirements, recursively."""
    for requirement in map(Requirement, package.requires or ()):
        always = _applies(requirement, "")
        if not ("" in extras if always else any(_applies(requirement, extra) for extra in extras)):
            continue
        key = (canonicalize_name(requirement.name), ",".join(sorted(requirement.extras)))
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            yield requirement
        else:
            yield from _missing(found, ("", *requirement.extras), seen)


def _applies(requirement: Requirement, extra: str) -> bool:
    """Whether an extra requires it with this Python and system; "" stands for no extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
