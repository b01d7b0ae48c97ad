"""A generator's end of the connection to its conductor: TLS, the greeting, and the proof of both ends that they know the secret."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time

from core.contracts.codec import decode, encode
from core.contracts.load_status import WorkerUsage
from core.errors import FanbenchError
from generator.join_proof import JoinNonces, new_nonce
from generator.messages import LONGEST_LINE_BYTES, SILENT_S, ConductorTells, MemberTells
from generator.settings import GeneratorSettings

_AT_ONCE_S = 1.0
"""A conductor that closes the connection within this time has enough generators. One that expects TLS waits longer."""

_log = logging.getLogger("fanbench.generator")


async def connected(
    settings: GeneratorSettings, host: str, port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the conductor, with TLS if the settings say so.

    Raises:
        FanbenchError: it has no TLS, or a certificate that is not trusted. OSError: no conductor waits there now.
    """
    tls = settings.joining_tls()
    name = (settings.join_sni or host) if tls is not None else None
    try:
        return await asyncio.open_connection(host, port, limit=LONGEST_LINE_BYTES, ssl=tls, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        raise FanbenchError(
            f"{host}:{port}: TLS: the certificate is refused: {error.verify_message}; put its authority into FANBENCH_JOIN_CA_FILE and, if it "
            "names another host, that name into FANBENCH_JOIN_SNI"
        ) from error
    except ssl.SSLEOFError:  # the conductor ended during the handshake
        raise
    except ssl.SSLError as error:
        raise FanbenchError(
            f"{host}:{port}: no TLS there: {error.reason or error}; set FANBENCH_JOIN_CERT where fanbench runs, or unset "
            "FANBENCH_JOIN_CA_FILE here"
        ) from error


async def told_by(reader: asyncio.StreamReader) -> ConductorTells | None:
    """The next message; None at the end of the connection."""
    try:
        line = await reader.readline()
    except OSError:
        return None
    return decode(ConductorTells, line, "the conductor's message") if line.endswith(b"\n") else None


async def greeted(
    settings: GeneratorSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, usage: WorkerUsage
) -> bool:
    """Ask to join. Return whether this generator is welcome; False if the connection ends first.

    Raises:
        FanbenchError: it was rejected, or the conductor does not know its secret.
    """
    began_s = time.monotonic()
    hello = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SILENT_S):
            hello = await told_by(reader)
    if hello is None:
        if (silent_s := time.monotonic() - began_s) > _AT_ONCE_S:
            _log.warning(
                "the conductor said nothing for %.0f s: if it uses TLS, set FANBENCH_JOIN_CA_FILE; trying again",
                silent_s,
            )
        return False
    nonces = JoinNonces(hello.nonce, new_nonce(), settings.run_name)
    proof = nonces.proof(settings.secret, "generator")
    joined = MemberTells(what="joined", text=settings.run_name, usage=usage, nonce=nonces.generator, proof=proof)
    writer.write(encode(joined).encode() + b"\n")
    answer = await told_by(reader)
    if answer is None:
        return False
    if answer.what != "welcome":
        raise FanbenchError(f"this generator was rejected: {answer.reason}")
    if not nonces.proves(answer.proof, settings.secret, "conductor"):
        raise FanbenchError(
            "the conductor does not know this generator's secret, so its orders are refused: check the address, and set the same "
            "FANBENCH_JOIN_SECRET on both sides"
        )
    _log.info("joined, and waiting for the others")
    return True
