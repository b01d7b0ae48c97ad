"""Ends a command line: its exit code, and one line for an error."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from core.errors import FanbenchError, UsageError
from core.plain_text import plain
from harness.commands.arguments import hide_passwords

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)


def exit_code_of(run: Callable[[], int]) -> int:
    """Run a command line: 0 done, 1 a check or a program failed, 2 bad usage, 130 interrupted."""
    try:
        hide_passwords()
        code = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except UsageError as error:
        code = _fail(str(error), 2)
    except FanbenchError as error:
        code = _fail(str(error), 1)
    except OSError as error:
        code = _cannot_write(error)
    except Exception as error:
        code = _usage(error)
    return code


def _cannot_write(error: OSError) -> int:
    """Print one line for an output that accepts nothing more. Other errors are raised again."""
    if error.errno not in _FULL:
        raise error
    if not error.filename:  # the output itself: otherwise Python would try to write the rest at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:  # the reader has closed the pipe, like `head`
        return 1
    return _fail(f"{error.filename or 'standard output'}: {error.strerror}; make room, or write elsewhere", 1)


def _usage(error: Exception) -> int:
    """Print one line for a wrong option or argument: typer's messages do not name the value.

    Other errors are raised again.
    """
    if not hasattr(error, "format_message"):
        raise error
    given = ""
    for option in getattr(getattr(error, "param", None), "opts", ()):
        words = [word.partition("=")[2] for word in sys.argv if word.startswith(f"{option}=")]
        if option in sys.argv[:-1]:
            words.append(sys.argv[sys.argv.index(option) + 1])
        given = f"{option} {words[0] or repr('')}: " if words else given
    message = error.format_message().rstrip(".")
    command = " ".join(["fanbench", *getattr(getattr(error, "ctx", None), "command_path", "").split()[1:]])
    return _fail(f"{given}{message}; see `{command} --help`", 2) if message else 2


def _fail(message: str, code: int) -> int:
    print(f"fanbench: {plain(message)}", file=sys.stderr)
    return code
