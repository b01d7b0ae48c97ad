"""The generated reference pages agree with the code."""

import re

import pytest
import typer

from core.scenario import Scenario
from generator.settings import GeneratorSettings
from harness.commands.cli import app
from load.settings import LoadSettings
from scripts.docs_reference import FOLDER, commands, settings
from server.settings import ServerSettings

AGAIN = "run: python -m scripts.docs_reference"


@pytest.mark.parametrize(("page", "written"), [("commands.md", commands), ("settings.md", settings)])
def test_the_pages_are_those_of_the_code(page, written):
    assert (FOLDER / page).read_text(encoding="utf-8") == written(), AGAIN


def test_every_command_has_its_options():
    text = commands()
    for name, command in typer.main.get_command(app).commands.items():
        _, _, section = text.partition(f"\n## `fanbench {name}`\n")
        section, _, _ = section.partition("\n## ")
        options = {option for param in command.params for option in param.opts if option.startswith("--")} - {"--help"}
        assert options <= set(re.findall(r"--[a-z-]+", section)), name


@pytest.mark.parametrize(
    ("model", "prefix"),
    [(ServerSettings, "FANBENCH_"), (GeneratorSettings, "FANBENCH_"), (LoadSettings, "FANBENCH_LOAD_"), (Scenario, "")],
)
def test_every_setting_has_a_row(model, prefix):
    rows = [line for line in settings().splitlines() if line.startswith("| `")]
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name}".upper() if prefix else name
        (row,) = [
            row
            for row in rows
            if row.startswith(f"| `{variable}` |") and row.endswith(f"| {field.description or ''} |")
        ][:1]
        assert len(row.split(" | ")) == 4, row
