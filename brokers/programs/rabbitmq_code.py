"""The part of RabbitMQ's code that a node needs, so that it starts in half the time.

Erlang looks for each of a node's 400 modules in the folders of its code path, in turn, and RabbitMQ puts those of all its
plug-ins there, also of the many that are not enabled: 20,000 files that do not exist are asked for at each start.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

_BROKER = "rabbit"
_NEEDS = re.compile(r"\{\s*(?:included_)?applications\s*,\s*\[([^\]]*)\]")


def needed_code(plugins: Path, enabled: Collection[str]) -> list[Path]:
    """The folders of the broker, of the enabled plug-ins and of all that these name in their `.app` files.

    Empty where `plugins` does not hold them as folders: another packaging, which is then used as it is.
    """
    apps = {app.stem: app for app in plugins.glob("*/ebin/*.app")}
    if not {_BROKER, *enabled} <= apps.keys():
        return []
    found: set[str] = set()
    ahead = [_BROKER, *enabled]
    while ahead:
        name = ahead.pop()
        if name in apps and name not in found:  # what is not there is Erlang's own, say kernel
            found.add(name)
            text = apps[name].read_text(encoding="utf-8", errors="replace")
            ahead += [word for words in _NEEDS.findall(text) for word in re.findall(r"\w+", words)]
    return sorted(apps[name].parents[1] for name in found)


def lay_out(code: Collection[Path], folder: Path) -> None:
    """Make `folder` anew, with links to the folders of code in it."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in code:
        (folder / path.name).symlink_to(path)
