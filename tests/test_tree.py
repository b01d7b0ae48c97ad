"""The whole tree: one class for each name, no module without a subject, rooms that say who imports them, tests that exist."""

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.durations import FILE, estimated, read_durations, scope_of

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "brokers", "server", "generator", "load", "harness", "benchmarks")
NO_SUBJECT = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
ROOMS = sorted(path.parent.name for path in (ROOT / "harness").glob("*/__init__.py"))


def modules(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Path, relative to the checkout, and tree of each module of the packages."""
    for package in packages:
        for path in files(package):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def files(folder: str) -> list[Path]:
    """The modules in a folder."""
    return sorted((ROOT / folder).rglob("*.py"))


def test_a_class_name_is_unique() -> None:
    classes = defaultdict(list)
    for path in (path for package in PACKAGES for path in files(package)):
        for name in re.findall(r"^ *class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            classes[name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}


def test_every_module_has_a_subject() -> None:
    found = [path for folder in (*PACKAGES, "tests") for path in files(folder)]
    assert [path for path in found if NO_SUBJECT & set(path.relative_to(ROOT).with_suffix("").parts)] == []


@functools.cache
def importers() -> dict[str, set[str]]:
    """By room of the harness, the rooms whose modules import it."""
    found = defaultdict(set)
    for path, tree in modules("harness"):
        importer = Path(path).parts[1]
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                _, room, *_ = [*name.split("."), ""]
                if name.startswith("harness.") and room != importer:
                    found[room].add(importer)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_the_harness_says_who_imports_it(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / "harness" / room / "__init__.py").read_text(encoding="utf-8")))
    said = re.search(r"Imported by ([^.;]*)|Nobody imports it|every other package may import it", docstring or "")
    assert said, f"harness/{room}/__init__.py does not say who may import it: 'Imported by …'"
    named = set(re.findall(r"\w+", said[1] or ""))
    allowed = set(ROOMS) if said[0].startswith("every") else named & set(ROOMS)
    assert importers()[room] <= allowed, said[0]


def test_the_durations_are_of_files_of_tests_that_exist() -> None:
    known = read_durations()
    assert [file for file in known if not (ROOT / file).is_file()] == [], f"make durations writes {FILE.name} anew"
    assert list(known.values()) == sorted(known.values(), reverse=True)


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "compose").glob("test_*.py")), ids=lambda path: path.stem)
def test_files_with_networks_and_the_browser_never_run_together(path: Path) -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"def \w+\((.*?)\)", path.read_text(), re.DOTALL))))
    makes_networks = not named.isdisjoint({"engine", "image", "demo"})
    assert makes_networks == (scope_of(str(path.relative_to(ROOT))) == scope_of("tests/ui/test_page.py"))


def test_an_unmeasured_file_that_starts_programs_counts_as_long() -> None:
    tests = {"known.py": [True], "starts.py": [False] * 5, "inside.py": [True] * 5}
    found = estimated(tests, {"known.py": 30.0})
    assert sorted(found, key=lambda file: -found[file]) == ["known.py", "starts.py", "inside.py"]
