"""examples/ imports only what brokers.sdk and fanbench_locust offer, because readers copy them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")}
MODULES = sorted((ROOT / "examples").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_imports_only_public_modules(path: Path) -> None:
    ours = {name for name in imported(path) if name.partition(".")[0] in OURS}
    assert ours <= {"brokers.sdk", "brokers.sdk.testing", "fanbench_locust"}


def test_the_examples_are_found_and_use_the_sdk() -> None:
    assert "brokers" in OURS
    assert any("brokers.sdk" in imported(path) for path in MODULES)


def test_the_sdk_gives_what_it_names_and_is_typed() -> None:
    import brokers.sdk

    assert all(hasattr(brokers.sdk, name) for name in brokers.sdk.__all__)
    for package in ("brokers", "core"):
        assert (ROOT / package / "py.typed").is_file()
