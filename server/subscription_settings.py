"""The settings of the replica's subscriptions, and the error when their limit is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import FanbenchError


class TooManyTopicsError(FanbenchError):
    """The replica has reached its limit of topics."""


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """The settings of the subscriptions."""

    preset: Sequence[str]
    max_topics: int
    linger_s: float
    history_age_s: float
    ready_grace_s: float
