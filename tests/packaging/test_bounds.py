"""pyproject.toml names each dependency with a lower bound, and the lock pins it."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import bounds, pythons
from tests.private_attributes import PRIVATE_USES

ROOT = Path(__file__).parents[2]
PROGRAMS = ("core", "brokers", "server", "generator", "load", "harness")
IMPORTED_BY_THE_KIT = {"pytest"}  # brokers/conformance, which its users run under their own
INDIRECT = {"aiohttp"}  # requested as nats-py[aiohttp], which bounds it
DIRECT = list(bounds.direct_dependencies())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = [Requirement(need) for group in PROJECT["dependency-groups"].values() for need in group]


@pytest.mark.parametrize("need", DIRECT, ids=str)
def test_each_dependency_has_a_lower_bound(need: Requirement) -> None:
    assert bounds.lower_bound(need) is not None, (
        f"write the lowest version of {need.name} with which `make lowest` passes"
    )


def test_the_lock_satisfies_pyproject() -> None:
    pins = bounds.pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    wrong = [
        f"{need}: the lock has {version}"
        for need in (*DIRECT, *GROUPS)
        for version in pins.get(canonicalize_name(need.name), ["nothing"])
        if isinstance(version, str) or version not in need.specifier
    ]
    assert wrong == [], "run `make lock`"


@pytest.mark.slow
def test_every_imported_package_is_a_dependency() -> None:
    distributions, named = packages_distributions(), {canonicalize_name(need.name) for need in DIRECT}
    missing = set()
    for path in (path for folder in PROGRAMS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            packages = {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, *PROGRAMS}
            for package in packages - IMPORTED_BY_THE_KIT:
                offered = {canonicalize_name(name) for name in distributions.get(package, [package])}
                missing |= set() if offered & named else offered
    assert missing == set(), "pyproject.toml has to name what is imported, not rely on somebody who brings it"


def test_a_library_whose_private_attributes_are_used_has_an_upper_bound() -> None:
    bounded = {
        canonicalize_name(need.name): any(part.operator in ("<", "<=", "==", "~=") for part in need.specifier)
        for need in DIRECT
    }
    used = {use.distribution for use in PRIVATE_USES} - {"python"} - INDIRECT
    assert sorted(name for name in used if not bounded[name]) == []


def test_a_missing_or_too_low_bound_is_named() -> None:
    lowest = "\n".join(f"{need.name}=={bounds.lower_bound(need)}" for need in DIRECT)
    assert bounds.faults(lowest) == []
    first, second = DIRECT[:2]
    higher = lowest.replace(f"{first.name}=={bounds.lower_bound(first)}", f"{first.name}==9999.0")
    assert bounds.faults(higher) == [
        f"{first.name}>={bounds.lower_bound(first)}: others need 9999.0 at least; write >=9999.0 into pyproject.toml"
    ]
    assert bounds.pins(f"{second.name}==1.2 \\\n    --hash=sha256:00\n") == {
        canonicalize_name(second.name): [Version("1.2")]
    }


@pytest.mark.subprocess
def test_the_lowest_and_the_highest_python_are_found(tmp_path: Path) -> None:
    for name, version in (
        ("python3.11", "3.11.2"),
        ("python3.12", "3.12.1"),
        ("python3.13", "3.13.0"),
        ("python3.9", "3.9.18"),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
    shim = tmp_path / "python3.14"
    shim.write_text("#!/bin/sh\necho 'python3.14: command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    found = pythons.found(iter(sorted(tmp_path.iterdir())), SpecifierSet(">=3.11"))
    assert {str(version) for version in found} == {"3.11.2", "3.12.1", "3.13.0"}
    assert pythons.ends(found) == [
        (Version("3.11.2"), tmp_path / "python3.11"),
        (Version("3.13.0"), tmp_path / "python3.13"),
    ]


@pytest.mark.subprocess
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_scripts_name_tests_that_exist() -> None:
    script = (ROOT / "scripts" / "lowest.sh").read_text(encoding="utf-8")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    files = {
        word.strip("()\"'")
        for word in script.split()
        if word.strip("()\"'").removeprefix("programs=(").startswith("tests/")
    }
    assert len(files) >= 5
    assert [file for file in files if not (ROOT / file.removeprefix("programs=(")).is_file()] == []


def test_the_workflow_runs_targets_that_exist_under_the_pythons_of_the_classifiers() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    targets = set(re.findall(r"- run: make ([a-z]+)", workflow))
    assert targets <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    tried = json.loads(re.search(r"python: (\[.+\])", workflow)[1])
    assert tried == [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"]]
