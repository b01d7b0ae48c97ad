"""Makes the table of connection options in docs/brokers.md from the adapters' declarations: `python -m brokers.options_table`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from brokers import tls
from brokers.api import Adapter
from brokers.endpoint import EVERY_URL
from brokers.inbox import BUFFER
from brokers.options import Option
from brokers.registry import AdapterRegistry, installed

BEGIN = "<!-- options: made by python -m brokers.options_table -->"
END = "<!-- end of options -->"
_SCHEMES_HEAD = ["| adapter | schemes |", "|---|---|"]
_HEAD = ["| adapter | option | value | default | meaning |", "|---|---|---|---|---|"]


def _rows(broker: str, options: Sequence[Option[Any]]) -> Iterator[str]:
    for option in options:
        default = f"`{option.default_text}`" if option.default and not option.default_words else option.default_text
        yield f"| {broker} | `{option.name}` | {option.kind} | {default} | {option.meaning} |"


def options_table(found: AdapterRegistry, adapters: Sequence[Adapter]) -> str:
    """Return the table: options of every URL, options of every URL with TLS, then each adapter's own."""
    every = (*EVERY_URL, BUFFER)
    rows = [*_rows("any", every), *_rows("any with TLS", tls.OPTIONS)]
    shared = {*every, *tls.OPTIONS}
    for adapter in adapters:
        rows += _rows(adapter.name, [option for option in adapter.options if option not in shared])
    schemes = [f"| {adapter.name} | {_schemes(found, adapter)} |" for adapter in adapters]
    return "\n".join([*_SCHEMES_HEAD, *schemes, "", *_HEAD, *rows])


def _schemes(found: AdapterRegistry, adapter: Adapter) -> str:
    return " ".join(
        f"`{scheme}://`" for scheme in sorted(s for s, other in found.by_scheme.items() if other is adapter)
    )


def built_in_table() -> str:
    """The table of the adapters that come with fanbench."""
    found = installed()
    adapters = {id(adapter): adapter for scheme in found.schemes if (adapter := found.serving(scheme)) is not None}
    ours = [adapter for adapter in adapters.values() if type(adapter).__module__.startswith("brokers.")]
    return options_table(found, sorted(ours, key=lambda adapter: adapter.name))


def with_table(text: str) -> str:
    """The page with a new table between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{built_in_table()}\n{END}{after}"


def main() -> None:
    """Write the table into the given page, docs/brokers.md by default."""
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/brokers.md")
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
