"""TLS to an endpoint: the files of its settings, read once in each process, and why a handshake failed."""

from __future__ import annotations

import ssl
from functools import cache

from core.endpoint.request import TlsSettings
from core.errors import UsageError


@cache  # each stream of a user calls this
def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """The settings that all TLS connections of a process share: trusted authorities, and the clients' certificate.

    Raises:
        UsageError: a file cannot be read, or its content is wrong.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--ca-file {settings.ca_file!r}: {_why(error)}; give a PEM file of certificates, on the host of each process that connects"
        ) from error
    context.set_alpn_protocols(["http/1.1"])
    if settings.cert_file:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise UsageError(
                f"--client-cert {settings.cert_file!r}: {_why(error)}; give a PEM certificate, and its key without a password in the same file or "
                "with --client-key, on the host of each process that connects"
            ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key is protected by a password")


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def why_lost(error: OSError) -> str:
    """Return why a connection failed; for TLS, with the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the server's certificate is refused: {error.verify_message}; see --ca-file and --sni"
    if isinstance(error, ssl.SSLEOFError):
        return "TLS: the server hung up; does it speak TLS on this port?"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}{_step(error.reason or '')}"
    return error.strerror or str(error)


def _step(reason: str) -> str:
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return "; the server speaks no TLS on this port: use http://"
    if "APPLICATION_PROTOCOL" in reason:
        return "; the server offers no HTTP/1.1"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason or "BAD_CERTIFICATE" in reason:
        return "; it may want a client certificate: --client-cert"
    return ""
