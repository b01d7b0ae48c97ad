"""The file of a bundle: a ZIP archive whose members are stored, so its bytes follow from what it holds, and nothing unpacks larger.

Anybody may have made one: each way in which it could harm who reads it is refused, and so is a byte that no member accounts for.
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
"""Of each result in a bundle; a capacity search has capacity.json too, and all have a report.json."""
MAX_BUNDLE_BYTES = 256 * 1024 * 1024
MAX_MEMBERS = 1000
_KNOWN = (*RESULT_FILES, "capacity.json", REPORT)
_RESULT_NAME = r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,199}"
_MEMBER = re.compile(rf"({_RESULT_NAME})/({'|'.join(map(re.escape, _KNOWN))})")
_ENCRYPTED = 0x1


def result_name(folder: Path) -> str:
    """The name of a result directory within a bundle.

    Raises:
        UsageError: its name cannot be that of a member.
    """
    name = folder.resolve().name
    if not re.fullmatch(_RESULT_NAME, name):
        raise UsageError(
            f"{folder}: the name {name!r} cannot stand in a bundle; rename it to letters, digits, . _ and -"
        )
    return name


def pack(members: Mapping[str, bytes]) -> bytes:
    """The archive of these members: the same bytes wherever and whenever it is made."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = 0o644 << 16
            archive.writestr(member, members[name])
    return data.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """The members of a bundle by name.

    Raises:
        UsageError: the file is none, is damaged, or holds what no bundle holds.
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
                raise _refused(path, "its files are larger than it is")
            members = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OverflowError) as error:
        raise _refused(path, f"it is cut off or damaged ({plain(str(error))[:200]})", "download it again") from error
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
    """Why a member cannot be one of a bundle; empty where it can."""
    if info.filename != INDEX and not _MEMBER.fullmatch(info.filename):
        return "is not a file that a bundle holds"
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        return "is compressed, and what a bundle holds is stored"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return f"has over {MAX_FILE_BYTES} bytes" if info.file_size > MAX_FILE_BYTES else ""


def _refused(path: Path, reason: str, step: str = "give a bundle that fanbench bundle wrote") -> UsageError:
    return UsageError(f"{path} is not a bundle: {reason}; {step}")
