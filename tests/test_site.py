"""`make docs` builds the site without a warning, its links lead somewhere, and it loads nothing from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent


class Links(HTMLParser):
    """A page's links, the resources that it loads, and its anchors."""

    def __init__(self):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img") and found.get("src"):
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loads.append(found["href"])


@pytest.fixture(scope="module")
def site(integration, tmp_path_factory):
    """The pages of a strict build, parsed, by path."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {}
    for path in folder.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    return pages


def test_every_link_inside_the_site_leads_to_a_page_and_an_anchor(site):
    dead = []
    for page, parsed in site.items():
        if page.name == "404.html":
            continue  # it is served from any path, so its links are absolute
        for link in parsed.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            anchors = site[target].anchors if target in site else set()
            if not target.exists() or (parts.fragment and target in site and unquote(parts.fragment) not in anchors):
                dead.append(f"{page.name}: {link}")
    assert dead == []


def test_it_loads_nothing_from_elsewhere(site):
    assert [load for parsed in site.values() for load in parsed.loads if urlsplit(load).netloc] == []


def test_every_page_of_the_docs_is_on_the_site(site):
    written = {path.name for path in site}
    pages = list((ROOT / "docs").rglob("*.md"))
    assert len(pages) > 20
    assert [page.name for page in pages if page.with_suffix(".html").name not in written] == []
