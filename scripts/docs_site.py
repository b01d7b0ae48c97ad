"""The hooks of mkdocs.yml: what the site needs beyond the pages in docs/.

The same Markdown is read in the repository and on the site. The hooks expand the patterns in `nav`, add the pages that are
kept outside docs/, and turn a link to a source file into the file's path (or into a link, if `repo_url` is set).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "results.md": "results/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}
"""For each page of the site, its file in the repository; every other page is in docs/ under its own name."""
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Expand the patterns of `nav` to the pages that no other entry names."""
    named = set(_named(config.nav))
    config.nav = [_expanded(entry, named) for entry in config.nav or []]
    return config


def _named(entry: Any) -> list[str]:
    if isinstance(entry, dict):
        return [name for value in entry.values() for name in _named(value)]
    return [name for part in entry for name in _named(part)] if isinstance(entry, list) else [entry]


def _expanded(entry: Any, named: set[str]) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(value, named) for title, value in entry.items()}
    if not isinstance(entry, list):
        return entry
    docs, found = ROOT / "docs", []
    for part in entry:
        if isinstance(part, str) and "*" in part:
            pages = sorted(page.relative_to(docs).as_posix() for page in docs.glob(part))
            found += [page for page in pages if page not in named]
        else:
            found.append(_expanded(part, named))
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept outside docs/."""
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Resolve the links that leave docs/, or that come from outside it.

    Raises:
        PluginError: a link leads to no file of the repository.
    """
    source = page.file.src_uri
    here = OUTSIDE.get(source, f"docs/{source}")
    pages = {path: name for name, path in OUTSIDE.items()}

    def resolved(link: re.Match[str]) -> str:
        text, target, anchor = link["text"], link["target"], link["anchor"] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
        if not (ROOT / path).exists():
            raise PluginError(f"{here} links to {target}, which is not a file in the repository; fix the link")
        inside = pages.get(path, path.removeprefix("docs/"))
        if inside != path and files.get_file_from_path(inside) is not None:
            return f"[{text}]({posixpath.relpath(inside, posixpath.dirname(source) or '.')}{anchor})"
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{path})"
        return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}`)"

    return _LINK.sub(resolved, markdown)
