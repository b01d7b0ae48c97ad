"""A file that is not a bundle, or a malicious one, is refused in one line with the reason and the next step."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from core.errors import UsageError
from harness.publish.archive import INDEX, pack, unpack

MEMBERS = {
    INDEX: b'{"version": 1, "files": {}}',
    "compared/summary.csv": b"contender\n",
    "compared/manifest.json": b"{}",
}


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Pack it as another program would."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name), content, compression)
    return data.getvalue()


def refusal(data: bytes, folder: Path) -> str:
    path = folder / "x.fanbench.zip"
    path.write_bytes(data)
    with pytest.raises(UsageError) as raised:
        unpack(path)
    said = str(raised.value)
    assert said.startswith(f"{path} is not a bundle: ")
    assert "\n" not in said
    assert said.rpartition("; ")[2] in ("give a bundle that fanbench bundle wrote", "download it again")
    return said


def test_it_comes_back_as_it_was_packed(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(pack(MEMBERS))
    assert unpack(path) == MEMBERS
    assert pack(dict(reversed(MEMBERS.items()))) == path.read_bytes()


def test_every_single_bit_counts(tmp_path: Path) -> None:
    """Flip a bit in each byte of the file: it is refused, or its members differ."""
    data = pack(MEMBERS)
    path = tmp_path / "x.zip"
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x04
        path.write_bytes(changed)
        try:
            assert unpack(path) != MEMBERS, f"byte {place}"
        except UsageError:
            continue


@pytest.mark.parametrize("left", [0, 1, 40, 150, -1])
def test_what_is_cut_off(left: int, tmp_path: Path) -> None:
    assert "it is truncated or damaged" in refusal(pack(MEMBERS)[:left], tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../evil/manifest.json",
        "/etc/manifest.json",
        "compared/../manifest.json",
        "compared/run.sh",
        "compared/logs/broker.log",
        "manifest.json",
        "compared\\manifest.json",
        "compared/",
        ".hidden/manifest.json",
        "\x1b[2J/manifest.json",
    ],
)
def test_a_file_that_does_not_belong_in_a_bundle(name: str, tmp_path: Path) -> None:
    said = refusal(archive(MEMBERS | {name: b"{}"}), tmp_path)
    assert "is not a file of a bundle" in said
    assert "\x1b" not in said


def test_a_zip_bomb(tmp_path: Path) -> None:
    bomb = archive(MEMBERS | {"compared/timeline.csv": b"0" * 50_000_000}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert "is compressed" in refusal(bomb, tmp_path)


def test_files_within_files(tmp_path: Path) -> None:
    """Each file contains the next one with its head: a thousand files of 16 MB in a file barely larger than one."""
    names, data, heads = [INDEX, *(f"r{number}/manifest.json" for number in range(20))], b"0" * 10_000, []
    for name in reversed(names):
        one = archive({name: data})
        place = one.index(b"PK\x01\x02")
        heads.insert(0, bytearray(one[place : one.index(b"PK\x05\x06")]))
        data = one[:place]
    within = 0
    for name, head in zip(names, heads, strict=True):
        head[42:46] = within.to_bytes(4, "little")
        within += 30 + len(name)
    directory = b"".join(heads)
    counts = len(names).to_bytes(2, "little") * 2
    end = (
        b"PK\x05\x06\0\0\0\0"
        + counts
        + len(directory).to_bytes(4, "little")
        + len(data).to_bytes(4, "little")
        + b"\0\0"
    )
    bomb = data + directory + end
    assert len(bomb) < 20_000
    assert "its files are larger than the archive" in refusal(bomb, tmp_path)


def test_contradictory_sizes_are_refused(tmp_path: Path) -> None:
    """A central directory that lists more than there is."""
    data = bytearray(pack(MEMBERS))
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = (2**31).to_bytes(4, "little")
    refusal(bytes(data), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_named_twice(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name in (INDEX, "compared/manifest.json", "compared/manifest.json"):
            made.writestr(zipfile.ZipInfo(name), b"{}")
    assert "names a file twice" in refusal(data.getvalue(), tmp_path)


@pytest.mark.parametrize("extra", [b"before", b"after"])
def test_bytes_that_belong_to_no_file(extra: bytes, tmp_path: Path) -> None:
    data = pack(MEMBERS)
    whole = extra + data if extra == b"before" else data + extra
    said = refusal(whole, tmp_path)
    assert "bytes that belong to none of its files" in said or "truncated or damaged" in said


def test_a_file_that_is_not_a_bundle(tmp_path: Path) -> None:
    assert "it has no bundle.json" in refusal(pack({"compared/manifest.json": b"{}"}), tmp_path)
    with pytest.raises(UsageError, match="there is no such file"):
        unpack(tmp_path / "none")
    with pytest.raises(UsageError, match="there is no such file"):
        unpack(tmp_path)
