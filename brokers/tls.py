"""TLS by URL scheme, with a CA file of the user's own."""

from __future__ import annotations

import ssl

from brokers.endpoint import Endpoint
from core.errors import UsageError

OPTION = {"ca_file": "PEM file with the certificate authorities to trust, for TLS schemes (default: the system's)"}


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Checks the broker's certificate and host name against the URL's `ca_file`, or the system's authorities.

    Raises:
        UsageError: the file cannot be read or holds no certificate.
    """
    path = endpoint.options.get("ca_file")
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{endpoint}: ca_file={path}: {error.strerror or error}; give a PEM file") from error
