"""The command `docker`: whether its daemon answers, and pulling images."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from core.errors import FanbenchError, TransientError

_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 10.0
PULL_TIMEOUT_S = 900.0


def find_docker() -> Path | None:
    """The command on the PATH."""
    found = shutil.which("docker")
    return Path(found) if found else None


def docker(*words: str, timeout_s: float = _TIMEOUT_S) -> str:
    """Run `docker …` and return its output.

    Raises:
        FanbenchError: it is not installed, failed, or did not end within `timeout_s` seconds.
    """
    try:
        done = subprocess.run(
            ["docker", *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            process_group=0,  # Ctrl-C must not interrupt the removal of a container
            check=False,
        )
    except OSError as error:
        raise FanbenchError(f"docker {words[0]}: {error.strerror}; is it installed?") from error
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"docker {words[0]}: not done within {timeout_s:g} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise FanbenchError(f"docker {words[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.strip()


@cache
def why_not() -> str:
    """Why containers cannot run here, and what to do, in one line; empty if a Docker daemon answers."""
    if find_docker() is None:
        return "docker is not installed here; install Docker, or leave out `--launch docker`"
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout_s=_ANSWER_TIMEOUT_S)
    except FanbenchError as error:
        return f"the Docker daemon does not answer ({error}); start it, or leave out `--launch docker`"
    return ""


@cache
def require_image(image: str) -> None:
    """Pull the image unless it is present.

    Raises:
        FanbenchError: it cannot be pulled; the message says what to do.
    """
    if docker("image", "ls", "--quiet", image):
        return
    if sys.stderr.isatty():  # it may take minutes
        print(f"pulling {image}", file=sys.stderr)
    try:
        docker("pull", "--quiet", image, timeout_s=PULL_TIMEOUT_S)
    except FanbenchError as error:
        raise FanbenchError(f"image {image} is not available ({error}); see `docker pull {image}`") from error
