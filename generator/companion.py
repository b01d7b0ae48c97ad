"""The generator inside a replica: the entry point `generator` of `fanbench.companions`."""

from __future__ import annotations

from core.settings import read_settings
from generator.session import run_session
from generator.settings import GeneratorSettings


async def run(endpoint_url: str, delivery: str | None) -> None:
    """Generate to `endpoint_url` until cancelled; the other settings come from the environment.

    Raises:
        UsageError: a setting cannot be used. BrokerError: the broker does not answer.
    """
    settings = read_settings(GeneratorSettings).model_copy(update={"broker_url": endpoint_url, "delivery": delivery})
    await run_session(settings)
