"""Waits until replicas are ready, so that a load can be started together with them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence

from core.endpoint.origin import Origin
from core.errors import TransientError

_POLL_S = 0.02
_ANSWER_S = 2.0


def wait_ready(origins: Sequence[Origin], timeout_s: float) -> None:
    """Return once each replica answers GET /readyz with 200.

    Raises:
        TransientError: they are not all ready within `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    for origin in origins:
        while not _is_ready(origin):
            if time.monotonic() > deadline:
                raise TransientError(
                    f"replica {origin.url} is not ready after {timeout_s:g} s; see its log, or raise --wait"
                )
            time.sleep(_POLL_S)


def _is_ready(origin: Origin) -> bool:
    connection = http.client.HTTPConnection(origin.host, origin.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", f"{origin.prefix}/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
