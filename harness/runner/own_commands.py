"""Runs the user's own commands that change a deployment: `--deploy`, `--break` and `--mend`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

from brokers.endpoint import Endpoint
from brokers.redaction import hide
from core.errors import FanbenchError, TransientError
from core.plain_text import plain

TIMEOUT_S = 300.0
_GRACE_S = 3.0
_SECRET_NAME = re.compile(r"(?:PASSWORD|PASSWD|TOKEN|SECRET|KEY)\Z", re.IGNORECASE)


def run_command(
    option: str,
    command: str,
    settings: Mapping[str, object],
    endpoint: Endpoint,
    log: Path,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Run a command in the shell, with `settings` as FANBENCH_* in its environment, and wait for its end.

    It has the user's other variables, too: their deployment may need some, such as FANBENCH_TOKEN. Processes that it starts in the
    background keep running. Its output goes to `log`, without the secrets of the endpoint and of the environment.

    Raises:
        FanbenchError: its exit code is not 0; the message contains the code and the last line of stderr.
        TransientError: it did not end within `timeout_s` seconds and was killed.
    """
    # Files, not pipes: a background process keeps the output open, and we would wait for it.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=os.environ | {f"FANBENCH_{name.upper()}": str(value) for name, value in settings.items()},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=words,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            told = _keep(log, out, words, endpoint)
            raise TransientError(
                f"{option}: did not end within {timeout_s:g} s; its last words: {told}; start a long-running program in "
                f"the background (`&`); its output is in {log}"
            ) from None
        except BaseException:
            _end(process)
            raise
        told = _keep(log, out, words, endpoint)
    if code:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise FanbenchError(
            f"{option}: the command {ended}: {told}; try it by hand with FANBENCH_BROKER_URL set; its output is in {log}"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
            return


def _keep(log: Path, out: IO[bytes], words: IO[bytes], endpoint: Endpoint) -> str:
    """Append the output to the log and return the last line of stderr for an error."""
    texts = []
    for stream in (out, words):
        stream.seek(0)
        texts.append(_without_secrets(stream.read().decode(errors="replace"), endpoint))
    with log.open("a", encoding="utf-8") as file:
        file.writelines(text if text.endswith("\n") else f"{text}\n" for text in texts if text)
    lines = [line.strip() for line in texts[1].splitlines() if line.strip()]
    return plain(lines[-1]) if lines else "it wrote nothing to stderr"


def _without_secrets(text: str, endpoint: Endpoint) -> str:
    """Hide the secrets, including their percent-encoded form in the URL."""
    for secret in endpoint.secrets:
        text = text.replace(quote(secret, safe=""), "***") if secret else text
    known = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    return hide(text, endpoint.secrets | known)
