"""The generator inside a replica: the entry point `generator` of `fanbench.companions`."""

from __future__ import annotations

from core.errors import UsageError
from core.settings import read_settings
from generator.session import run_session
from generator.settings import GeneratorSettings


async def run(endpoint_url: str, delivery: str | None) -> None:
    """Generate to `endpoint_url` until cancelled; the other settings come from the environment.

    Raises:
        UsageError: a setting cannot be used. BrokerError: the broker does not answer.
    """
    settings = read_settings(GeneratorSettings).model_copy(update={"broker_url": endpoint_url, "delivery": delivery})
    if settings.processes > 1:
        raise UsageError(
            f"FANBENCH_PROCESSES={settings.processes}: a generator inside a replica is a part of that process; leave it out, "
            "or run python -m generator"
        )
    await run_session(settings)
