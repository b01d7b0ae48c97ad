"""tests/private_attributes.py: listed attributes exist in the installed versions, and attributes that the source uses are listed."""

import ast
import functools
import importlib
import inspect
import platform
import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.private_attributes import PRIVATE_USES, PrivateUse

ROOT = Path(__file__).parents[1]
FOLDERS = ("core", "brokers", "server", "generator", "load", "harness", "benchmarks", "examples")
DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace"}
"""Attributes of the standard library that are public in spite of their names."""
PRIVATE = re.compile(r"_(?!_)")
MANGLED = re.compile(r"_[A-Z]\w*?__")
ASKING = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"}
Use = tuple[int, str]


def uses(tree: ast.Module) -> set[Use]:
    """Line and name of each foreign private attribute that a module uses."""
    nodes = list(ast.walk(tree))
    found = _names(nodes, set(_defined(nodes)), _untyped(nodes))
    return {(line, name) for line, name in found if name not in DOCUMENTED}


def _untyped(nodes: list[ast.AST]) -> set[str]:
    """The names of values declared as Any: they belong to a library without types, not to the module."""
    typed = [(node.arg, node.annotation) for node in nodes if isinstance(node, ast.arg)]
    typed += [
        (node.target.id, node.annotation)
        for node in nodes
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return {name for name, kind in typed if isinstance(kind, ast.Name) and kind.id == "Any"}


def _defined(nodes: list[ast.AST]) -> Iterator[str]:
    """The names of a module's own values."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node.value):
            yield node.attr


def _is_own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _names(nodes: list[ast.AST], own: set[str], untyped: set[str]) -> Iterator[Use]:
    for node in nodes:
        if isinstance(node, ast.Attribute) and PRIVATE.match(node.attr):
            # A value of the module's own class has a plain name here; longer expressions belong to others.
            plain = isinstance(node.value, ast.Name) and node.value.id not in untyped
            if not (plain and node.attr in own):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg and PRIVATE.match(keyword.arg) and keyword.arg not in own:
                    yield node.lineno, keyword.arg
            if ast.unparse(node.func).rpartition(".")[2] in ASKING:
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                yield from ((node.lineno, word) for word in words if isinstance(word, str) and PRIVATE.match(word))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MANGLED.match(node.value):
            yield node.lineno, node.value
        elif isinstance(node, ast.Import | ast.ImportFrom):
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            if any(PRIVATE.match(part) for name in module for part in name.split(".")):
                yield node.lineno, "import of " + ", ".join(module)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node.lineno, name.name) for name in node.names if PRIVATE.match(name.name))


def defines(owner: object, attribute: str) -> bool:
    """Whether a module has the attribute, or a class or its base classes have or assign it."""
    if hasattr(owner, attribute):
        return True
    return isinstance(owner, type) and any(_assigns(base, attribute) for base in owner.__mro__ if base is not object)


def _assigns(owner: type, attribute: str) -> bool:
    return attribute in (
        *getattr(owner, "__slots__", ()),
        *getattr(owner, "__annotations__", ()),
        *_assigned(owner),
    )


@functools.cache
def _assigned(owner: type) -> set[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError):  # no Python
        return set()
    attributes = (
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    )
    return {node.attr for node in attributes if _is_own(node.value)}


def missing(use: PrivateUse) -> str:
    """Why a listed use fails with the installed version; '' if it works."""
    module, _, name = use.owner.partition(":")
    try:
        owner = importlib.import_module(module)
        owner = getattr(owner, name) if name else owner
    except (ImportError, AttributeError):
        gone = [use.owner]
    else:
        gone = [attribute for attribute in use.attributes if not defines(owner, attribute)]
    if not gone:
        return ""
    installed = platform.python_version() if use.distribution == "python" else version(use.distribution)
    return (
        f"{use.distribution} {installed} has no {', '.join(gone)} in {use.owner} any more; {use.used_in} uses it: "
        f"{use.why}. Find what stands in its place, or bound {use.distribution} in pyproject.toml (docs/development.md)"
    )


def _test(use: PrivateUse):
    marks = [pytest.mark.slow] if use.distribution == "locust" else []  # its import is
    return pytest.param(use, id=f"{use.owner}.{use.attributes[0]} in {use.used_in}", marks=marks)


@pytest.mark.parametrize("use", [_test(use) for use in PRIVATE_USES])
def test_each_private_attribute_is_there(use: PrivateUse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")  # this process stays as it is
    assert not missing(use), missing(use)


def test_a_removed_attribute_is_named_with_version_use_and_next_step() -> None:
    words = missing(PrivateUse("aiomqtt", "aiomqtt:Client", ("_client", "_never"), "try", "here.py"))
    assert f"aiomqtt {version('aiomqtt')} has no _never in aiomqtt:Client any more; here.py uses it: try." in words
    assert "has no aiomqtt:Nobody" in missing(PrivateUse("aiomqtt", "aiomqtt:Nobody", ("_client",), "try", "here.py"))


@pytest.mark.slow
def test_each_use_is_listed_and_each_that_is_listed_is_used() -> None:
    unlisted, idle = [], []
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        file, text = str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        listed = [use for use in PRIVATE_USES if use.used_in == file]
        known = {attribute for use in listed for attribute in use.attributes}
        known |= {f"import of {use.owner.partition(':')[0]}" for use in listed}
        found = uses(ast.parse(text))
        unlisted += [f"{file}:{line}: {name}" for line, name in sorted(found) if not _is_in(name, known)]
        idle += [f"{file}: {name}" for use in listed for name in use.attributes if not _is_named(name, use, text)]
    assert unlisted == [], "list these uses of other libraries' private attributes in tests/private_attributes.py"
    assert idle == [], "these are not used any more; take them out of tests/private_attributes.py"
    assert [use.used_in for use in PRIVATE_USES if not (ROOT / use.used_in).is_file()] == []


def _is_in(name: str, known: set[str]) -> bool:
    """A mangled name may be composed, and its beginning then identifies it."""
    return name in known or (MANGLED.match(name) is not None and any(word.startswith(name) for word in known))


def _is_named(name: str, use: PrivateUse, text: str) -> bool:
    if use.owner in text:  # a module imported for its side effects
        return True
    words = name.rpartition("__")[2].rpartition("_")[2] if MANGLED.match(name) else name
    return re.search(rf"(?<![A-Za-z0-9]){words}\b", text) is not None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("client._task", {"_task"}),
        ("self.client._task", {"_task"}),
        ("self._task", {"_task"}),
        ("class A:\n    def f(self):\n        self._task = 1\n        return self._task", set()),
        ("class A:\n    def _f(self):\n        super()._f()", {"_f"}),
        (
            "class A:\n    def __init__(self):\n        self._n = 0\n    def add(self, other):\n        self._n += other._n",
            set(),
        ),
        ("class A:\n    def _f(self):\n        self.client._f()", {"_f"}),
        ("class A:\n    def f(self, other: Any):\n        self._n = 1\n        other._n = 2", {"_n"}),
        ("getattr(x, '_writer', None)", {"_writer"}),
        ("setattr(x, '_Connection__heard', 1)", {"_Connection__heard"}),
        ("name = f'_Connection__heard_{word}'", {"_Connection__heard_"}),
        ("operator.attrgetter('_x')", {"_x"}),
        ("from a._b import c", {"import of a._b"}),
        ("from a import _b", {"_b"}),
        ("import a._b", {"import of a._b"}),
        ("Message(_sid=1)", {"_sid"}),
        ("row._replace(a=1); os._exit(0); x.__dict__", set()),
    ],
)
def test_the_search_finds_private_attributes_of_others(source: str, found: set[str]) -> None:
    assert {name for _, name in uses(ast.parse(source))} == found
