"""An invalid document is refused in one line that names the file and the field."""

from typing import Literal

import pytest

from core.contracts.codec import Document, DocumentError, decode, encode, read, write


class Part(Document):
    count: int


class Sample(Document):
    version: Literal[3] = 3
    name: str
    parts: dict[str, Part]


def test_written_values_are_read_back(tmp_path):
    sample = Sample(name="a\nb", parts={"x": Part(count=1)})
    assert decode(Sample, encode(sample), "here") == sample
    write(sample, tmp_path / "file")
    assert read(Sample, tmp_path / "file") == sample
    assert read(Sample, tmp_path / "none") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"version":3}', "here: field 'name' is missing"),
        ('{"version":3,"name":"a","parts":{},"other":1}', "here: field 'other' is unknown"),
        ('{"version":2,"name":"a","parts":{}}', "here: version 2 is not the one"),
        ('{"version":3,"name":"a","parts":{"x":{"count":"many"}}}', "here: field 'parts.x.count' is wrong"),
        ("[", "here: not a document"),
    ],
)
def test_mismatched_events_are_named(text, words):
    with pytest.raises(DocumentError) as raised:
        decode(Sample, text, "here")
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)
