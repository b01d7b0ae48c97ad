"""What the replica's subscriptions need of its settings, and the error where their limit is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import FanbenchError


class TooManyTopicsError(FanbenchError):
    """The replica is subscribed to as many topics as it may be."""


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """What the link needs of the settings."""

    preset: Sequence[str]
    max_topics: int
    linger_s: float
    history_age_s: float
    ready_grace_s: float
