"""TLS by URL scheme, with the user's files: trusted authorities, client certificate, expected name."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any

from brokers.endpoint import Endpoint
from brokers.options import Option, file, text
from core.errors import UsageError

CA_FILE = file("ca_file", "PEM file with the certificate authorities to trust", "the system's")
CERT_FILE = file("cert_file", "PEM file with this client's certificate, if the broker requires one")
KEY_FILE = file("key_file", "PEM file with the key of cert_file", "in cert_file")
SERVER_NAME = text("server_name", "name that the broker's certificate must have", "", "the host")
OPTIONS: tuple[Option[str], ...] = (CA_FILE, CERT_FILE, KEY_FILE, SERVER_NAME)
"""Options for adapters with TLS schemes; without TLS they have no meaning."""


_SECURE = {"rediss", "amqps", "mqtts", "tls", "wss"}


def is_secure(scheme: str) -> bool:
    """Whether a scheme speaks TLS from its name."""
    return not _SECURE.isdisjoint(scheme.split("+"))


def refuse_without_tls(endpoint: Endpoint, schemes: Iterable[str]) -> None:
    """Refuse TLS options that would be ignored; `schemes` are the adapter's.

    Raises:
        UsageError: the URL has a TLS option, but its scheme does not use TLS.
    """
    given = [option.name for option in OPTIONS if option.name in endpoint.options]
    secure = [f"{scheme}://" for scheme in schemes if is_secure(scheme)]
    if given and secure and not is_secure(endpoint.scheme):
        says = f"option '{given[0]}' has no meaning without TLS; write {' or '.join(secure)}, or leave it out"
        raise UsageError(f"broker URL {endpoint}: {says}")


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Check the broker's certificate and name, and present ours, according to the URL's options.

    Raises:
        UsageError: a file cannot be read or has the wrong content.
    """
    ca_file, cert_file, key_file = (endpoint.get(option) for option in (CA_FILE, CERT_FILE, KEY_FILE))
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{endpoint}: ca_file={ca_file}: {error.strerror or error}; give a PEM file") from error
    if key_file and not cert_file:
        raise UsageError(f"{endpoint}: key_file={key_file} without cert_file; give the certificate of that key too")
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file or None, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = f"cert_file={cert_file}" + (f", key_file={key_file}" if key_file else "")
            why = f"{error.strerror or error}; give PEM files of a certificate and its key, without a passphrase"
            raise UsageError(f"{endpoint}: {files}: {why}") from error
    name = endpoint.get(SERVER_NAME)
    return _expecting(context, name) if name else context


def _expecting(context: ssl.SSLContext, name: str) -> ssl.SSLContext:
    """Return the context.

    It uses `name` as the server's name whatever a library passes, because few let it be chosen.
    """

    def wrap(wrapped: Any, *words: Any, **options: Any) -> Any:
        return wrapped(*words, **options | {"server_hostname": name})

    for method in ("wrap_bio", "wrap_socket"):
        setattr(context, method, partial(wrap, getattr(context, method)))
    return context
