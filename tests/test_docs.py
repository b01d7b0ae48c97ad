"""The documentation keeps up: links lead somewhere, every setting, command and scenario field is written down."""

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("settings", [ServerSettings, GeneratorSettings], ids=lambda cls: cls.__name__)
def test_every_setting_is_documented(settings):
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name, field in settings.model_fields.items():
        assert f"FANBENCH_{name.upper()}" in text, f"FANBENCH_{name.upper()} is in no page of docs/"
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


def test_every_scenario_field_is_documented():
    text = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    for name, field in Scenario.model_fields.items():
        assert f"`{name}`" in text
        assert field.description or name in ("name", "description")


def test_every_command_is_documented():
    from harness.commands.cli import app

    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        assert f"fanbench {name}" in text, f"fanbench {name} is in no page of docs/"


def test_the_figures_of_sse_beside_websocket_are_those_of_the_reference():
    from harness.report.transports import transport_tables
    from harness.results.store import load_results

    table = next(table for table in transport_tables(load_results(ROOT / "results" / "reference" / "transports")))
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for row in table.rows:
        line = "| " + " | ".join(cell.text for cell in row) + " |"
        assert line in text, f"docs/deploy.md lacks: {line}"
