"""Generates the reference pages from the code: `python -m scripts.docs_reference`.

docs/reference/commands.md is the help of every command; docs/reference/settings.md has every setting of the server, the
generator and the Locust suite, and every field of a scenario. tests/scripts/test_docs_reference.py compares both with the code.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from core.scenario import Scenario
from generator.settings import GeneratorSettings
from harness.commands.cli import app
from load.settings import LoadSettings
from server.settings import ServerSettings

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
NOTE = "<!-- python -m scripts.docs_reference writes this page; change the help texts in the code instead -->"
KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", SecretStr: "text", Path: "path"}


def commands() -> str:
    """The page of the commands: what each does, its arguments and its options, in Markdown."""
    command: Any = typer.main.get_command(app)
    parts = [
        NOTE,
        "# Commands and options",
        "`fanbench COMMAND --help` prints the same. [cli.md](../cli.md) explains what the commands have in common.",
    ]
    for name, one in command.commands.items():
        words = [f"[{param.name.upper()}]" for param in one.params if param.param_type_name == "argument"]
        parts += [
            f"## `fanbench {name}`",
            inspect.cleandoc(one.help or ""),
            f"    fanbench {' '.join([name, '[OPTIONS]', *words])}",
        ]
        rows = [f"| {_named(param)} | {_shown(param)} | {_cell(param.help)} |" for param in one.params]
        parts.append("\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _named(param: Any) -> str:
    names = [param.name.upper()] if param.param_type_name == "argument" else sorted(param.opts, key=len, reverse=True)
    return ", ".join(f"`{name}`" for name in names)


def _shown(param: Any) -> str:
    """The default, if it says something: not for switches, and not for what is unset."""
    if isinstance(param.show_default, str):
        return f"`{param.show_default}`"
    default = param.default
    if isinstance(default, bool) or not isinstance(default, (str, int, float, Path)) or default == "":
        return ""
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def settings() -> str:
    """The page of the settings, a table for each program."""
    parts = [
        NOTE,
        "# Settings",
        "The server and the generator read environment variables; each is an option too, such as `--broker-url`. The Locust suite reads its own options, "
        "or the variables. Empty values count as not set.",
        *_program("Server", "`python -m server`, or `fanbench-server`", ServerSettings, "FANBENCH_"),
        *_program("Generator", "`python -m generator`, or `fanbench-generator`", GeneratorSettings, "FANBENCH_"),
        *_program("Locust suite", "`locust -f load/sse.py`, or `fanbench-locust`", LoadSettings, "FANBENCH_LOAD_"),
        "## Scenario",
        "The fields of a TOML file in `scenarios/`; [scenarios.md](../scenarios.md) explains them.",
        _table("field", Scenario, lambda name: name),
    ]
    return "\n\n".join(parts) + "\n"


def _program(title: str, how: str, model: type[BaseModel], prefix: str) -> tuple[str, str, str]:
    return f"## {title}", f"{how}.", _table("variable", model, lambda name: f"{prefix}{name}".upper())


def _table(head: str, model: type[BaseModel], named: Callable[[str], str]) -> str:
    rows = [f"| {head} | value | default | meaning |", "|---|---|---|---|"]
    # The program's own settings come first, those that it shares with another program after them.
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__):
        meaning = _cell(field.description)
        rows.append(f"| `{named(name)}` | {_kind(field.annotation)} | {_default(field)} | {meaning} |")
    return "\n".join(rows)


def _kind(annotation: Any) -> str:
    """A readable description of a value."""
    return " or ".join(dict.fromkeys(_kinds(annotation)))


def _kinds(annotation: Any) -> Iterator[str]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin is Literal:
        yield from (f"`{value}`" for value in get_args(annotation))
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from () if part is type(None) else _kinds(part)
    elif origin is tuple:
        yield "list"
    else:
        yield KINDS.get(annotation, "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=False)
    if default in (None, "", ()):
        return "none"
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`"


def main() -> None:
    """Write both pages."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "commands.md").write_text(commands(), encoding="utf-8")
    (FOLDER / "settings.md").write_text(settings(), encoding="utf-8")


if __name__ == "__main__":
    main()
