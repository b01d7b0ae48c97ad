"""Renames each field of each contract where a program sets it, one at a time, and requires that mypy notices each.

A contract is whatever passes between programs or into a file: the classes of core/contracts/, and each `Document` elsewhere.
`python scripts/rename_contract_fields.py [CONTRACT.FIELD…]` tries the named fields, or all. It works in a copy of the source.
It prints a line for each field; the exit code is 1 if a rename went unnoticed, or if no program sets a field.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2, copytree, ignore_patterns

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "brokers", "server", "generator", "load", "harness", "benchmarks")
CONTRACTS = Path("core", "contracts")
RENAMED = "renamed_by_the_script"
UNTYPED = ("model_copy", "model_construct")
"""Patterns that make a document with names that mypy does not see."""
Field = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Giving:
    """A place where a program sets a field: the keyword in the call that makes the document."""

    file: Path
    """Within the tree."""
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def fields_of_contracts(tree: Path) -> Iterator[tuple[Field, bool]]:
    """Each (contract, field), and whether its value is fixed by the contract itself, as `version` is."""
    for file in _sources(tree):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and _is_contract(node, file.is_relative_to(tree / CONTRACTS)):
                for statement in node.body:
                    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                        kind = ast.unparse(statement.annotation)
                        if not kind.startswith("ClassVar"):
                            fixed = kind.startswith("Literal") and statement.value is not None
                            yield (node.name, statement.target.id), fixed


def _sources(tree: Path) -> list[Path]:
    return [file for package in PACKAGES for file in sorted((tree / package).rglob("*.py"))]


def _is_contract(node: ast.ClassDef, among_contracts: bool) -> bool:
    is_value = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    return "Document" in {ast.unparse(base) for base in node.bases} or (among_contracts and is_value)


def givings(tree: Path, contracts: Sequence[str]) -> dict[Field, list[Giving]]:
    """The places where each field of the contracts is set."""
    found: dict[Field, list[Giving]] = {}
    for file in _sources(tree):
        text = file.read_text()
        for node, within in _walk(ast.parse(text)):
            if isinstance(node, ast.Call) and (name := _called(node, within)) in contracts:
                for keyword in node.keywords:
                    if keyword.arg is None:
                        raise SystemExit(f"{file}:{node.lineno}: {name}(**…) hides which fields it gives; name them")
                    place = Giving(file.relative_to(tree), keyword.lineno, keyword.col_offset)
                    found.setdefault((name, keyword.arg), []).append(place)
            elif isinstance(node, ast.Attribute) and node.attr in UNTYPED and "core.contracts" in text:
                raise SystemExit(
                    f"{file}:{node.lineno}: {node.attr} names fields that mypy does not see; call the class"
                )
    return found


def _walk(node: ast.AST, within: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node, and the class that contains it."""
    for child in ast.iter_child_nodes(node):
        yield child, within
        yield from _walk(child, child.name if isinstance(child, ast.ClassDef) else within)


def _called(node: ast.Call, within: str) -> str:
    """The name of what is called; a class calls itself `cls`."""
    if isinstance(node.func, ast.Name):
        return within if node.func.id == "cls" else node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


class Checker:
    """A mypy daemon, so that a change takes half a second."""

    def __init__(self, tree: Path, files: Sequence[Path]) -> None:
        self._tree = tree
        self._files = [str(file) for file in files]

    def __enter__(self) -> Checker:
        said = self.complaints()
        if said:
            raise SystemExit(f"mypy has complaints before anything was renamed:\n{said}")
        return self

    def __exit__(self, *_: object) -> None:
        self._dmypy("stop")

    def complaints(self) -> str:
        """mypy's messages for the unchanged tree; empty if there are none."""
        done = self._dmypy("run", "--", "--config-file", "pyproject.toml", *self._files)
        if done.returncode not in (0, 1):
            raise SystemExit(f"mypy ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout if done.returncode else ""

    def _dmypy(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mypy.dmypy", "--status-file", ".dmypy.json", *words]
        return subprocess.run(command, cwd=self._tree, capture_output=True, text=True, check=False)


def _replace(file: Path, text: str) -> None:
    """Write it with a new modification time, because mypy's daemon compares only time and size."""
    later_ns = file.stat().st_mtime_ns + 1_000_000_000
    file.write_text(text)
    os.utime(file, ns=(later_ns, later_ns))


def noticed(checker: Checker, tree: Path, field: Field, place: Giving) -> str:
    """mypy's messages for that line after the rename; empty if it does not notice."""
    file = tree / place.file
    text = file.read_text()
    lines = text.splitlines(keepends=True)
    head, tail = lines[place.line - 1][: place.column], lines[place.line - 1][place.column :]
    lines[place.line - 1] = head + RENAMED + tail.removeprefix(field[1])
    _replace(file, "".join(lines))
    try:
        said = checker.complaints()
    finally:
        _replace(file, text)
    return next((line for line in said.splitlines() if line.startswith(f"{place.file}:") and RENAMED in line), "")


def rename_all(tree: Path, wanted: Mapping[Field, bool]) -> int:
    """Try each field; the flag says whether the contract fixes its value. Return how many went unnoticed."""
    places = givings(tree, sorted({contract for contract, _ in wanted}))
    programs = {place.file for field in wanted for place in places.get(field, ())}
    files = sorted(programs | {file.with_name("__init__.py") for file in programs})  # mypy's daemon needs both
    unnoticed = 0
    with Checker(tree, files) as checker:
        for field, fixed in wanted.items():
            name = ".".join(field)
            if field not in places:
                unnoticed += not fixed
                print(f"{name}: {'fixed by the contract' if fixed else 'NO PROGRAM GIVES IT'}", flush=True)
            for place in places.get(field, ()):
                said = noticed(checker, tree, field, place)
                unnoticed += not said
                print(f"{name}: {said.partition('error: ')[2] if said else 'NOT NOTICED'} ({place})", flush=True)
    return unnoticed


def main(names: Sequence[str]) -> int:
    """Try the named fields, or all. Exit code 1 if one went unnoticed, 2 if there is no such field."""
    known = dict(fields_of_contracts(ROOT))
    wanted = {field: fixed for field, fixed in known.items() if not names or ".".join(field) in names}
    if missing := set(names) - {".".join(field) for field in wanted}:
        print(f"no field {', '.join(sorted(missing))}; name them as CONTRACT.FIELD", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="fanbench-renames-") as folder:
        tree = Path(folder)
        for package in PACKAGES:
            copytree(ROOT / package, tree / package, ignore=ignore_patterns("__pycache__"))
        copy2(ROOT / "pyproject.toml", tree)
        unnoticed = rename_all(tree, wanted)
    print(f"{len(wanted)} fields of {len({contract for contract, _ in wanted})} contracts, {unnoticed} unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
