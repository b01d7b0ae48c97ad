"""fanbench's `SSEUser` for your own locustfiles: `from fanbench_locust import SSEUser`.

fanbench's own packages have names such as `load` and `core`, which your project may use too. This module imports them
without leaving those names behind: `import load` means the same in your project before and after.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
_OURS = ("core", "load")


def _ours() -> dict[str, object]:
    """The loaded modules with our names, whoever owns them."""
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in _OURS}


def _are_fanbench() -> bool:
    found = [Path(file) for name in _OURS if (file := getattr(sys.modules.get(name), "__file__", None))]
    return bool(found) and all(file.resolve().parent.parent == _HOME for file in found)


@contextmanager
def _aside() -> Iterator[None]:
    """Import from this package's folder, and leave none of our names behind."""
    if _are_fanbench():  # `fanbench-locust` has loaded them already
        yield
        return
    theirs = _ours()
    for name in theirs:
        del sys.modules[name]
    sys.path.insert(0, str(_HOME))
    try:
        yield
    finally:
        sys.path.remove(str(_HOME))
        for name in _ours():
            del sys.modules[name]
        sys.modules.update(theirs)  # type: ignore[arg-type]


with _aside():
    from core.endpoint.request import TlsSettings
    from core.sse import SSEEvent
    from load.sse_user import SSEUser
    from load.user_stream import Expectation, UserStream

__all__ = ["Expectation", "SSEEvent", "SSEUser", "TlsSettings", "UserStream"]
