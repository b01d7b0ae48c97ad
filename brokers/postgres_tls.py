"""TLS to PostgreSQL, with libpq's options."""

from __future__ import annotations

import ssl

from brokers import tls
from brokers.endpoint import Endpoint
from brokers.options import choice
from core.errors import UsageError

SSL_MODE = choice(
    "sslmode",
    "TLS as in libpq: require checks nothing; verify-full, the default with a TLS option, checks authority and name",
    ("disable", "prefer", "require", "verify-ca", "verify-full"),
    "prefer",
)
SSL_NEGOTIATION = choice(
    "sslnegotiation", "direct: TLS from the first byte (PostgreSQL 17 and later)", ("postgres", "direct"), "postgres"
)


def tls_of(endpoint: Endpoint) -> tuple[ssl.SSLContext | str | bool, str]:
    """asyncpg's TLS mode and negotiation.

    Raises:
        UsageError: options that contradict each other, or a file that cannot be used.
    """
    given = [option.name for option in tls.OPTIONS if option.name in endpoint.options]
    mode, begun = endpoint.get(SSL_MODE), endpoint.get(SSL_NEGOTIATION)
    if SSL_MODE.name not in endpoint.options and (given or begun == "direct"):
        mode = "verify-full"
    if mode in ("disable", "prefer"):
        if given or begun == "direct":
            what = given[0] if given else SSL_NEGOTIATION.name
            raise UsageError(
                f"{endpoint}: option '{what}' has no meaning with sslmode={mode}; write sslmode=verify-full"
            )
        return False if mode == "disable" else "prefer", begun
    context = tls.tls_context(endpoint)
    if mode != "verify-full":
        context.check_hostname = False
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context, begun
