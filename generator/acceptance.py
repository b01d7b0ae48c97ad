"""Whether a service accepted what was published to it by HTTP, reported at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from core.contracts.generator_report import GeneratorReport
from core.errors import TransientError
from generator.settings import GeneratorSettings

_STEPS = {
    "status 400": "see --publish-body, and the service's log",
    "status 401": "give credentials with --header",
    "status 403": "these credentials may not publish there",
    "status 404": "is that the path for publishing, and must a topic be created first?",
    "status 405": "is that the method, and the path for publishing?",
    "status 413": "the service limits the size of an event; lower --payload-bytes",
    "status 415": "give the service's Content-Type with --header",
    "status 429": "lower --rate-hz, or raise the service's limit",
    "not connected": "is the service running there?",
    "no connection in time": "does the service speak TLS on this port?",
}

_log = logging.getLogger("fanbench.generator")


def require_accepted(settings: GeneratorSettings, report: GeneratorReport) -> None:
    """Warn of events that the service did not accept; at a broker there is nothing to report.

    Raises:
        TransientError: it accepted none.
    """
    if not settings.publish or not report.failed:
        return
    count = sum(counts.measure + counts.warmup for counts in report.published.values())
    told = f"{_by_reason(report.failures)}; {_step(report.failures)}"
    if report.failed >= count:
        raise TransientError(f"{settings.publish}: none of {count:,} events was accepted: {told}")
    _log.warning("%d of %d events were not accepted: %s", report.failed, count, told)


def _by_reason(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} x {reason}" for reason, count in sorted(failures.items()))


def _step(failures: Mapping[str, int]) -> str:
    """What to do about the most frequent reason."""
    most = max(failures, key=lambda reason: failures[reason])
    return _STEPS.get(most, "see the service's log")
