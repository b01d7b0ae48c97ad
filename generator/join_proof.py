"""Proves that both ends of a connection know one secret without sending it: an HMAC over a fresh nonce of each end.

The generator proves itself first, so the conductor proves nothing to a stranger. A recorded proof is useless on any
other connection, and one end's proof is useless for the other end.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Literal, NamedTuple

ProvingEnd = Literal["conductor", "generator"]


def new_nonce() -> str:
    """Return 256 random bits: no two connections have the same."""
    return secrets.token_hex(32)


class JoinNonces(NamedTuple):
    """The nonces of both ends of one connection, and the run's name as the generator gave it."""

    conductor: str
    generator: str
    run_name: str

    def proof(self, secret: str, by: ProvingEnd) -> str:
        """Compute the proof of one end; empty without a secret."""
        if not secret:
            return ""
        text = "\n".join(("fanbench join", by, *self))
        return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()

    def proves(self, proof: str, secret: str, by: ProvingEnd) -> bool:
        """Return whether this is that end's proof, compared in constant time."""
        return hmac.compare_digest(self.proof(secret, by).encode(), proof.encode())


def why_rejected(given: JoinNonces, proof: str, secret: str, run_name: str) -> str:
    """Return why a generator may not join, and the next step; empty if it may.

    The run's name is compared last, because a stranger must not learn it.
    """
    if secret and not proof:
        return "this run requires a secret; set the run's FANBENCH_JOIN_SECRET for the generator too"
    if proof and not secret:
        return (
            "the generator has a secret, and the run has none; set the same FANBENCH_JOIN_SECRET where fanbench runs, or unset "
            "it for the generator"
        )
    if not given.proves(proof, secret, "generator"):
        return "its secret differs from the run's; set the same FANBENCH_JOIN_SECRET on both sides"
    if given.run_name != run_name:
        return f"this run has the name {run_name!r}, and the generator has {given.run_name!r}; give it the FANBENCH_RUN_NAME of the run"
    return ""
