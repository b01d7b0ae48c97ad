"""Makes pages from templates: their style, their script with its hash, and text with code in it."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

SCRIPT = "values.js"
"""The script that shows the values under the pointer."""
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True)
class PageScript:
    """The only script of a page: the content security policy has its hash and blocks all others."""

    text: str
    sha256: str
    """The hash in base64."""


def read_script(*names: str, folder: Path = TEMPLATES) -> PageScript:
    """Join the scripts of these names; a script that is not in `folder` comes from the report."""
    paths = [folder / name if (folder / name).exists() else TEMPLATES / name for name in names]
    text = "\n".join(path.read_text(encoding="utf-8").strip() for path in paths)
    return PageScript(text, b64encode(sha256(text.encode()).digest()).decode())


def environment(*folders: Path) -> jinja2.Environment:
    """The template environment with the report's templates and those in `folders`."""
    import jinja2

    from harness.report.chart_style import THEMES, WIDTH, for_page

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, *folders]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.globals |= {"for_page": for_page, "themes": THEMES, "width": WIDTH}
    found.filters["with_code"] = with_code
    return found


def with_code(sentence: str) -> Markup:
    """Return the sentence as HTML: text in backticks as code, the rest as text."""
    from markupsafe import Markup

    parts = re.split("`([^`]+)`", sentence)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )
