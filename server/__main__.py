"""`python -m server`."""

from __future__ import annotations

import logging
import resource
import sys

from brokers.registry import open_endpoint
from core.errors import FanbenchError
from core.settings import exit_with, read_settings
from server.logs import set_up_logging
from server.settings import ServerSettings

SPARE_DESCRIPTORS = 128

_log = logging.getLogger("fanbench.server")


def fit_clients(settings: ServerSettings) -> ServerSettings:
    """Raise the process's descriptor limit, and lower `max_clients` to what fits into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_clients + SPARE_DESCRIPTORS
    room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if room > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    fits = max(soft, room) - SPARE_DESCRIPTORS
    if fits >= settings.max_clients:
        return settings
    _log.warning("max_clients=%d lowered to %d: more descriptors are not allowed here", settings.max_clients, fits)
    return settings.model_copy(update={"max_clients": max(1, fits)})


def main() -> None:
    """Run until SIGTERM; exit code 2 if a restart would fail too, 1 if the broker does not answer."""
    try:
        settings = read_settings(ServerSettings, sys.argv[1:])
        set_up_logging(settings)
        broker = open_endpoint(settings.broker_url, settings.delivery, settings.broker_password_file)
        from server.runner import run  # takes a second to import, so check the settings first

        run(fit_clients(settings), broker)
    except FanbenchError as error:
        exit_with(error)


if __name__ == "__main__":
    main()
