"""A bundle's file: a ZIP archive with stored members, so its content determines its bytes and nothing grows when unpacked.

A bundle may come from anybody. `unpack` refuses everything that could harm the reader, and every byte that belongs to no member.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from core.errors import UsageError
from core.plain_text import plain
from harness.results.read_file import MAX_FILE_BYTES

SUFFIX = ".fanbench.zip"
INDEX = "bundle.json"
REPORT = "report.json"
RESULT_FILES = ("manifest.json", "summary.csv", "timeline.csv", "histograms.json")
"""The files of each result in a bundle; a capacity search also has capacity.json, and all have a report.json."""
MAX_BUNDLE_BYTES = 256 * 1024 * 1024
MAX_MEMBERS = 1000
_KNOWN = (*RESULT_FILES, "capacity.json", REPORT)
_RESULT_NAME = r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,199}"
_MEMBER = re.compile(rf"({_RESULT_NAME})/({'|'.join(map(re.escape, _KNOWN))})")
_ENCRYPTED = 0x1


def result_name(folder: Path) -> str:
    """Return the name of a result directory within a bundle.

    Raises:
        UsageError: a member cannot have this name.
    """
    name = folder.resolve().name
    if not re.fullmatch(_RESULT_NAME, name):
        raise UsageError(
            f"{folder}: a bundle cannot contain the name {name!r}; rename it with letters, digits, . _ and -"
        )
    return name


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive with these members: the same bytes on any machine at any time."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, members[name])
    return data.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """Read the members of a bundle by name.

    Raises:
        UsageError: the file is not a bundle, is damaged, or contains an unknown file.
    """
    data = _read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            for info in infos:
                if reason := _wrong(info):
                    raise _refused(path, f"{plain(info.filename)[:200]!r} {reason}")
            if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) < len(infos):
                raise _refused(path, f"it names a file twice, or has over {MAX_MEMBERS}")
            if sum(info.file_size for info in infos) > len(data):  # each within the one before it: a bomb
                raise _refused(path, "its files are larger than the archive")
            members = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OverflowError) as error:
        raise _refused(path, f"it is truncated or damaged ({plain(str(error))[:200]})", "download it again") from error
    if INDEX not in members:
        raise _refused(path, f"it has no {INDEX}")
    if pack(members) != data:
        raise _refused(path, "it has bytes that belong to none of its files, or was packed by another program")
    return members


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file; give a bundle that fanbench bundle wrote")
        with path.open("rb") as file:
            data = file.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give a file that can be read") from error
    if len(data) > MAX_BUNDLE_BYTES:
        raise _refused(path, f"it has over {MAX_BUNDLE_BYTES} bytes")
    return data


def _wrong(info: zipfile.ZipInfo) -> str:
    """Return why a member cannot be in a bundle; empty if it can."""
    if info.filename != INDEX and not _MEMBER.fullmatch(info.filename):
        return "is not a file of a bundle"
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        return "is compressed, but a bundle stores its files"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return f"has over {MAX_FILE_BYTES} bytes" if info.file_size > MAX_FILE_BYTES else ""


def _refused(path: Path, reason: str, step: str = "give a bundle that fanbench bundle wrote") -> UsageError:
    return UsageError(f"{path} is not a bundle: {reason}; {step}")
