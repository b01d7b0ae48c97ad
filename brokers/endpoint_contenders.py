"""Endpoints as contenders: services that stream events themselves, each described in a file."""

from __future__ import annotations

import socket
import ssl

from brokers.contender import Contender
from brokers.contenders import find_contender
from brokers.programs.catalogue import SERVICES
from core.endpoint.compared import ComparedEndpoint
from core.endpoint.endpoint_file import load_endpoint
from core.endpoint.origin import parse_origin
from core.endpoint.tls import tls_context, why_lost
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
    """Connect once to a service that somebody else started, to find a wrong address or certificate before the measurement.

    Raises:
        UsageError: it cannot be reached, or the two sides do not agree on TLS.
    """
    origin = parse_origin(endpoint.url)
    context = None
    if origin.scheme == "https":
        try:
            context = tls_context(endpoint.tls)
        except UsageError as error:
            raise UsageError(f"endpoint '{endpoint.name}': {error}; correct it in {endpoint.file}") from None
    try:
        with socket.create_connection((origin.host, origin.port), _ANSWER_S) as sock:
            why = _why_no_tls(sock, context, endpoint.tls.server_name or origin.host) if context is not None else ""
    except OSError as error:
        raise UsageError(
            f"endpoint '{endpoint.name}': {endpoint.url} does not answer ({error.strerror or error}); start the service, or correct "
            f"url in {endpoint.file}"
        ) from error
    if why:
        raise UsageError(
            f"endpoint '{endpoint.name}': {endpoint.url}: {why}; ca_file, sni, client_cert and client_key in {endpoint.file} are "
            "these options"
        )


def _why_no_tls(sock: socket.socket, context: ssl.SSLContext, name: str) -> str:
    """Why the two sides do not agree on TLS; '' if they do.

    With TLS 1.3 a server checks our certificate after the handshake: its verdict arrives with the next byte.
    """
    try:
        secured = context.wrap_socket(sock, server_hostname=name)
    except ssl.SSLError as error:
        return why_lost(error)
    try:
        with secured:
            secured.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
            secured.recv(1)
    except TimeoutError:
        return ""
    except OSError as error:
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return why_lost(error)
        return "TLS: the server hung up after the handshake; it may want a client certificate: --client-cert"
    return ""
