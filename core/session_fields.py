"""The fields of a scenario that only sessions have, and those that only permanent topics have: the others would be ignored."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from core.errors import UsageError

BEGINS = "topic_arrivals_hz"
"""The field that makes a scenario one of sessions, if it is not 0."""
OF_RULES = {
    "arrivals_hz": BEGINS,
    "lifetime_s": "topic_lifetime_s",
    "rate_hz": "topic_rate_hz",
    "payload_bytes": "topic_payload_bytes",
    "clients": "clients_per_topic",
} | {name: name for name in ("seed", "second_tab", "late_join", "resume", "leave_early", "warmup_s", "duration_s")}
"""The rules of sessions by the scenario's fields."""
_ONLY_SESSIONS = frozenset(OF_RULES.values()) - {BEGINS, "seed", "warmup_s", "duration_s"}
_ONLY_TOPICS = {
    "rate_hz": f"follows from {BEGINS}, topic_lifetime_s and topic_rate_hz",
    "clients": f"follows from {BEGINS}, topic_lifetime_s and clients_per_topic",
    "payload_bytes": "is given by topic_payload_bytes",
    "topics": "is not chosen: each session is a topic of its own",
    "topic_order": "is not chosen: each session is a topic of its own",
    "topic_skew": "is not chosen: clients_per_topic gives each session its clients",
    "schedule": f"is not chosen: sessions begin as a Poisson process, {BEGINS} a second",
    "burst_events": "is not chosen: events come 1 to 6 at one instant",
}
"""What stands in a field's place with sessions."""


def refuse_ignored(given: Collection[str], values: Mapping[str, object], where: str, step: str) -> None:
    """Refuse a field among the `given` ones that means nothing for the kind of topics that `values` have.

    `where` names the source of the fields, and `step` says what to do about one of permanent topics.

    Raises:
        UsageError: with sessions there is a field of permanent topics, or the other way round.
    """
    if values.get(BEGINS):
        for name in (one for one in given if one in _ONLY_TOPICS):
            raise UsageError(f"{where}: {name} = {values[name]}: with sessions it {_ONLY_TOPICS[name]}; {step}")
        return
    for name in (one for one in given if one in _ONLY_SESSIONS):
        raise UsageError(
            f"{where}: {name} = {values[name]}: only sessions have it; give {BEGINS} too, such as 1.5, or leave {name} out"
        )
