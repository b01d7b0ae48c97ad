"""The script renames each contract field where a program writes it, and reports if no test fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.rename_contract_fields import PACKAGES, fields_of_contracts, givings, rename_all

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "rename_contract_fields.py"
LAX = """
class Document:
    def __init__(self, **fields: object) -> None: ...

class Sample(Document):
    version: Literal[1] = 1
    name: str
    other: str
    _hidden: ClassVar[int] = 3
"""
STRICT = "@dataclass\nclass Strict:\n    name: str\n    count: int = 0\n"


def tree_of(folder: Path, program: str) -> Path:
    """A source tree with a program and two contracts, one of which accepts any field."""
    for package in PACKAGES:
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    contracts = folder / "core" / "contracts"
    contracts.mkdir()
    (contracts / "__init__.py").touch()
    imports = "from dataclasses import dataclass\nfrom typing import ClassVar, Literal\n"
    (contracts / "sample.py").write_text(imports + LAX + STRICT)
    (folder / "load" / "program.py").write_text("from core.contracts.sample import Sample, Strict\n" + program)
    (folder / "pyproject.toml").write_text("[tool.mypy]\nstrict = true\n")
    return folder


@pytest.mark.slow
def test_it_reports_what_mypy_notices_and_what_it_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tree_of(tmp_path, 'Sample(name="a")\nStrict(name="a", count=1)\nStrict(name="b")\n')
    fields = dict(fields_of_contracts(tree))
    assert [*fields] == [
        ("Sample", "version"), ("Sample", "name"), ("Sample", "other"), ("Strict", "name"), ("Strict", "count")
    ]  # fmt: skip
    assert rename_all(tree, fields) == 2
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == [
        "Sample.version: fixed by the contract",
        "Sample.name: NOT NOTICED (load/program.py:2)",
        "Sample.other: NO PROGRAM GIVES IT",
    ]
    assert [line.partition(":")[0] for line in told[3:]] == ["Strict.name", "Strict.name", "Strict.count"]
    assert all("Unexpected keyword argument" in line for line in told[3:])
    assert "renamed" not in (tree / "load" / "program.py").read_text()


def test_a_document_of_a_program_is_a_contract_and_a_class_that_calls_itself_gives_its_fields(tmp_path: Path) -> None:
    own = "class Own(Document):\n    name: str\n\n    @classmethod\n    def of(cls) -> 'Own':\n        return cls(name='a')\n"
    tree = tree_of(tmp_path, "from core.contracts.sample import Document\n" + own)
    assert ("Own", "name") in dict(fields_of_contracts(tree))
    ((field, places),) = givings(tree, ["Own"]).items()
    assert (field, [place.line for place in places]) == (("Own", "name"), [8])


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ('Sample(**{"name": "a"})\n', "hides which fields it gives"),
        ('Sample(name="a").model_copy(update={"name": "b"})\n', "model_copy names fields that mypy does not see"),
    ],
)
def test_a_call_in_which_nothing_can_be_renamed_is_refused(tmp_path: Path, program: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        givings(tree_of(tmp_path, program), ["Sample"])


def renamed(*names: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


@pytest.mark.soak
@pytest.mark.slow
def test_a_field_of_each_program_is_noticed() -> None:
    done = renamed("GeneratorReport.failed", "ReplicaStats.gap_lost", "LoadStatus.reached", timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Unexpected keyword argument") >= 3
    assert done.stdout.endswith("3 fields of 3 contracts, 0 unnoticed\n")


@pytest.mark.usefixtures("integration")
def test_an_unknown_field_is_reported() -> None:
    done = renamed("GeneratorReport.nothing", timeout_s=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no field GeneratorReport.nothing" in done.stderr


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_every_field_of_every_contract_is_noticed() -> None:
    done = renamed(timeout_s=1700)
    assert done.returncode == 0, done.stdout + done.stderr
