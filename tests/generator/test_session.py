"""The generator's other inputs, apart from its schedule."""

import pytest

from core.errors import UsageError
from generator.session import run_session
from generator.settings import GeneratorSettings


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Bearer s3cret", "line 1: give 'Name: value'"),
        ("X-User: {user}", "headers: X-User: {user} has no meaning when publishing"),
        ("X-A: b\n\nHost: s3cret", "line 2: Host follows from the rest of the request"),
    ],
)
async def test_an_invalid_header_is_named_by_its_line_and_not_shown(header, words):
    settings = GeneratorSettings(publish="POST http://127.0.0.1:1/{topic}", header=header)
    with pytest.raises(UsageError) as told:
        await run_session(settings)
    assert words in str(told.value)
    assert "s3cret" not in str(told.value)
