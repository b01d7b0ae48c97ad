"""The settings of server and generator: no number breaks the program instead of being refused."""

import pytest

from core.errors import UsageError
from core.settings import read_settings
from generator.settings import GeneratorSettings
from server.settings import ServerSettings

UNBOUNDED = {"seed"}
NUMBERS = [
    (settings, name)
    for settings in (ServerSettings, GeneratorSettings)
    for name, field in settings.model_fields.items()
    if field.annotation in (int, float) and name not in UNBOUNDED
]


@pytest.mark.parametrize(("settings", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
def test_an_absurd_number_is_refused_by_name(
    settings: type[ServerSettings | GeneratorSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forever is often written as a very large number; 1e300 seconds are infinite in nanoseconds."""
    for value in ("1" + "0" * 30, "1e300"):
        monkeypatch.setenv(f"FANBENCH_{name.upper()}", value)
        with pytest.raises(UsageError, match=f"FANBENCH_{name.upper()}="):
            read_settings(settings)


def test_a_hundred_million_seconds_are_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HISTORY_AGE_S", "TOPIC_LINGER_S", "RESUME_OVERLAP_S"):
        monkeypatch.setenv(f"FANBENCH_{name}", "1e8")
    assert read_settings(ServerSettings).history_age_s == 1e8
