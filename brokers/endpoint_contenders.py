"""Endpoints as contenders: services that stream events themselves, each described in a file."""

from __future__ import annotations

import socket

from brokers.contender import Contender
from brokers.contenders import find_contender
from brokers.programs.catalogue import SERVICES
from core.endpoint.compared import ComparedEndpoint
from core.endpoint.endpoint_file import load_endpoint
from core.endpoint.origin import parse_origin
from core.errors import UsageError, nearest
from core.resources import resource_folder

_ANSWER_S = 5.0


def endpoint_contender(name_or_path: str) -> Contender:
    """The contender that an endpoint file describes: one of fanbench's by its name, or a TOML file.

    Raises:
        UsageError: the file cannot be used, fanbench cannot start its program, or its name is another contender's.
    """
    endpoint = load_endpoint(name_or_path, resource_folder("dialects"))
    where = f"endpoint {endpoint.file}"
    if endpoint.program and endpoint.program not in SERVICES:
        raise UsageError(
            f"{where}: program = {endpoint.program!r}: fanbench cannot start it; {nearest(endpoint.program, SERVICES)} Start any "
            "other service yourself, and give its url in place of program"
        )
    if _is_taken(endpoint.name):
        raise UsageError(
            f"{where}: '{endpoint.name}' is the name of another contender; add name = '{endpoint.name}-endpoint' to [endpoint]"
        )
    url = "http://{http}" if endpoint.program else endpoint.url
    return Contender(endpoint.name, "at-most-once", url, endpoint.program or None, endpoint=endpoint)


def _is_taken(name: str) -> bool:
    try:
        find_contender(name)
    except UsageError:
        return False
    return True


def require_endpoint_answers(endpoint: ComparedEndpoint) -> None:
    """Connect once to a service that somebody else started, to find a wrong address before the measurement.

    Raises:
        UsageError: it cannot be reached.
    """
    origin = parse_origin(endpoint.url)
    try:
        socket.create_connection((origin.host, origin.port), _ANSWER_S).close()
    except OSError as error:
        raise UsageError(
            f"endpoint '{endpoint.name}': {endpoint.url} does not answer ({error.strerror or error}); start the service, or mend "
            f"url in {endpoint.file}"
        ) from error
