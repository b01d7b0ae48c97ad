"""Breaks one place in our source, which it finds by structure, whatever the names and the layout.

A pattern is Python in which a single capital letter matches any expression, or the name after a dot, and `...` any
statements. Equal letters match equal code, also in the replacement; other names match themselves.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
REST = "..."
Bound = dict[str, Any]


class Mutation(NamedTuple):
    """The function, the pattern that it contains exactly once, the replacement, and a pattern that binds further letters."""

    function: Callable[..., object] | property
    pattern: str
    replacement: str
    given: str = ""


def mutate(mutation: Mutation) -> tuple[str, str]:
    """The file, relative to the checkout, and its text with the mutation.

    Raises:
        LookupError: the pattern is not there, or more than once.
    """
    function = mutation.function.fget if isinstance(mutation.function, property) else mutation.function
    function = inspect.unwrap(function)
    source = Path(inspect.getsourcefile(function))
    path = str(source.resolve().relative_to(ROOT))
    return path, mutate_text(source.read_text(encoding="utf-8"), function.__qualname__, *mutation[1:], path)


def mutate_text(text: str, qualname: str, pattern: str, replacement: str, given: str = "", path: str = "<text>") -> str:
    """The text with the pattern in that function replaced; LookupError as in `mutate`."""
    tree = ast.parse(text)
    (function,) = [node for name, node in _functions(tree) if name == qualname]
    place = f"{path}, {qualname}"
    bound = _find(function, given, {}, place)[1] if given else {}
    found, bound = _find(function, pattern, bound, place)
    broken = _Replace(found, _Fill(bound).fill(_parse(replacement))).visit(tree)
    result = ast.unparse(broken)
    if result == ast.unparse(ast.parse(text)):
        raise LookupError(f"{place}: {replacement!r} instead of {pattern!r} changes nothing: write the mutation anew")
    return result


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The functions of a module or class by qualified name, including those of its classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _parse(pattern: str) -> ast.AST:
    """The pattern's only statement, or its expression."""
    (statement,) = ast.parse(pattern).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _find(function: ast.AST, pattern: str, bound: Bound, place: str) -> tuple[ast.AST, Bound]:
    """The only node that matches the pattern, and the code bound to its letters."""
    wanted = _parse(pattern)
    matches = [(node, found) for node in ast.walk(function) if _fits(wanted, node, found := dict(bound))]
    if len(matches) != 1:
        raise LookupError(
            f"{place}: {len(matches)} places look like {pattern!r}, not one; is the rule still kept there? Write the mutation anew"
        )
    return matches[0]


def _fits(pattern: Any, node: Any, bound: Bound) -> bool:
    """Whether the pattern matches; `bound` receives the letters."""
    if isinstance(pattern, ast.Name) and _is_letter(pattern.id):
        return isinstance(node, ast.expr) and _text(bound.setdefault(pattern.id, node)) == _text(node)
    if isinstance(pattern, ast.AST):
        return type(pattern) is type(node) and all(
            _fits(getattr(pattern, field), getattr(node, field), bound)
            for field in pattern._fields
            if field not in ("ctx", "type_comment", "kind")
        )
    if isinstance(pattern, list):
        return isinstance(node, list) and _list_fits(pattern, node, bound)
    if isinstance(pattern, str) and _is_letter(pattern):
        return bool(bound.setdefault(pattern, node) == node)
    return bool(pattern == node)


def _list_fits(pattern: list[Any], nodes: list[Any], bound: Bound) -> bool:
    rest = next((at for at, one in enumerate(pattern) if _is_rest(one)), None)
    if rest is not None:
        after = len(pattern) - rest - 1
        if len(nodes) < rest + after:
            return False
        bound[REST] = nodes[rest : len(nodes) - after]
        pattern, nodes = pattern[:rest] + pattern[rest + 1 :], nodes[:rest] + nodes[len(nodes) - after :]
    return len(pattern) == len(nodes) and all(_fits(one, node, bound) for one, node in zip(pattern, nodes, strict=True))


def _is_letter(name: str) -> bool:
    return len(name) == 1 and name.isupper()


def _is_rest(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def _text(node: Any) -> str:
    return ast.unparse(node)


class _Fill(ast.NodeTransformer):
    """Substitutes the letters in a replacement; a letter that no pattern binds is a new variable."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def fill(self, template: ast.AST) -> ast.AST:
        filled: ast.AST = self.visit(template)
        return filled

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return copy.deepcopy(self._bound.get(node.id, node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = self._bound.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> Any:
        return copy.deepcopy(self._bound[REST]) if _is_rest(node) else self.generic_visit(node)


class _Replace(ast.NodeTransformer):
    """Replaces one node by another, and a statement by a statement."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is not self._old:
            return self.generic_visit(node)
        return ast.Expr(self._new) if isinstance(node, ast.stmt) and isinstance(self._new, ast.expr) else self._new
