"""Twelve-factor settings: environment variables `FANBENCH_*`, the same names as command-line options, and `--help`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

from core.errors import FanbenchError, UsageError, exit_code
from core.logs import say_last
from core.paths import absolute_path, file_to_write
from core.plain_text import plain

PREFIX = "FANBENCH_"
NOT_IN_PS = "not in ps"
"""Marks a secret that is refused as a command-line option."""
T = TypeVar("T", bound=BaseSettings)
_BEHIND_SCHEME = re.compile(r"(?<=://).+(?=['\"])", re.DOTALL)
# Compose passes an unset variable as an empty one, which counts as unset.
FileToRead = Annotated[Path | None, BeforeValidator(lambda path: absolute_path(path) if path else None)]
FileToWrite = Annotated[Path | None, BeforeValidator(lambda path: file_to_write(path) if path else None)]


def settings_config(prog: str) -> SettingsConfigDict:
    """The configuration shared by every program's settings."""
    return SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        cli_prog_name=prog,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )


def read_settings(cls: type[T], argv: Sequence[str] = ()) -> T:
    """Settings from the environment and `argv`; `--help` prints them all and exits.

    Raises:
        UsageError: naming the variable, its value and the reason; or a secret that only the environment may hold is among `argv`.
    """
    _refuse_secrets(cls, argv)
    try:
        return CliApp.run(cls, cli_args=list(argv))
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        known = cls.model_fields.get(field)
        hint = known.description if known else None
        shown = "***" if known and "SecretStr" in str(known.annotation) else _without_secrets(first["input"])
        reason = first["msg"].removeprefix("Value error, ")
        # Without its cause, which contains the value.
        raise UsageError(f"{PREFIX}{field.upper()}={shown}: {reason}" + (f"; {hint}" if hint else "")) from None
    except SettingsError as error:
        raise UsageError(f"settings: {error}; see --help") from error


def _refuse_secrets(cls: type[T], argv: Sequence[str]) -> None:
    """Refuse abbreviations too: argparse would show the value in its own error."""
    given = [word for one in argv if len(word := one.partition("=")[0]) > len("--")]
    for name, field in cls.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        if NOT_IN_PS in field.metadata and any(option.startswith(word) for word in given):
            raise UsageError(
                f"{option}: everyone on this machine can read a command line; set {PREFIX}{name.upper()} in the environment, or give {option}-file"
            )


def _without_secrets(value: object) -> str:
    """A refused value. Text after a scheme is hidden, because it may contain a password whose end is unknown."""
    return _BEHIND_SCHEME.sub("***", repr(value))


def exit_with(error: FanbenchError) -> NoReturn:
    """End the program with the error as one line on stderr, in the format of its log."""
    say_last(plain(str(error)))
    sys.exit(exit_code(error))
