"""The documentation is complete: links work, and every setting, command and scenario field is described."""

import itertools
import re
from pathlib import Path

import pytest
import typer

from core.contracts.load_orders import LoadOrder
from core.contracts.load_result import LoadResult
from core.contracts.load_status import LoadStatus
from core.contracts.replica_stats import ReplicaStats
from core.scenario import Scenario
from generator.settings import GeneratorSettings
from server.settings import ServerSettings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md"), ROOT / "results" / "README.md"]
)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
FOLDERS = "|".join(
    {path.name for path in ROOT.glob("[a-z]*/")} - {"results", "dist"}
)  # runs and builds create the contents of these
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page):
    past = page.name == "CHANGELOG.md"
    named = [] if past else NAMED.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and not (page.parent / name).exists()] == []


def words_of(pages):
    """The words of the pages without markup: `FANBENCH_PORT=8080` has the word FANBENCH_PORT."""
    return set(re.findall(r"\w+", "\n".join(page.read_text(encoding="utf-8") for page in pages)))


@pytest.mark.parametrize("settings", [ServerSettings, GeneratorSettings], ids=lambda cls: cls.__name__)
def test_every_setting_is_documented(settings):
    words = words_of(PAGES)
    for name, field in settings.model_fields.items():
        variable = f"{settings.model_config['env_prefix']}{name}".upper()
        assert variable in words, f"{variable} is in no page of docs/"
        assert field.description, f"{name} has no line for --help"


@pytest.mark.parametrize(
    ("document", "page"),
    [(ReplicaStats, "server.md"), (LoadResult, "load.md"), (LoadStatus, "load.md"), (LoadOrder, "load.md")],
)
def test_every_field_that_people_read_or_write_is_documented(document, page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for name in document.model_fields:
        assert f"`{name}`" in text or f'"{name}"' in text, f"{document.__name__}.{name} is not in docs/{page}"


def test_every_contract_is_in_the_architecture():
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for module in (ROOT / "core" / "contracts").glob("[a-z]*.py"):
        assert f"`{module.stem}`" in text, f"docs/ARCHITECTURE.md does not name core/contracts/{module.name}"


def test_the_subjects_of_the_architecture_begin_where_it_says():
    lines = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index("| where is … | file | it begins at |") + 2 :]
    rows = [row.split("|")[1:-1] for row in itertools.takewhile(lambda line: line.startswith("|"), rows)]
    tree = "\n".join(line for line in lines if line.startswith("    "))
    assert len(rows) == 10
    for subject, files, names in rows:
        for file, name in zip(re.findall("`(.+?)`", files), re.findall("`(.+?)`", names), strict=True):
            text = (ROOT / file).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?(def|class) {name}\b", text, re.MULTILINE), f"{subject}: {file} has no {name}"
            assert Path(file).name in tree, f"{subject}: the tree above the table does not name {file}"


def test_every_scenario_field_is_documented():
    text = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    for name, field in Scenario.model_fields.items():
        assert f"`{name}`" in text
        assert field.description or name in ("name", "description")


def test_every_command_is_documented():
    from harness.commands.cli import app

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in typer.main.get_command(app).commands:
        assert re.search(rf"fanbench {name}\b", text), f"fanbench {name} is in no page of docs/"


def test_the_figures_of_sse_and_websocket_are_those_of_the_reference():
    from harness.report.transports import transport_tables
    from harness.results.load import load_results

    table = next(table for table in transport_tables(load_results(ROOT / "results" / "reference" / "transports")))
    lines = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8").splitlines()
    documented = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if "|" in line]
    for row in table.rows:
        assert [cell.text for cell in row] in documented, f"docs/deploy.md lacks: {[cell.text for cell in row]}"
