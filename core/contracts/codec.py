"""Base of all documents: frozen typed fields, a version, and one-line errors that name file and field."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import FanbenchError


class Document(BaseModel):
    """A document, or a part of one. A document has a field `version: Literal[N] = N`; another version is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    remedy: ClassVar[str] = "both programs must be of one version of fanbench"
    """The remedy for an invalid document of this kind."""


class DocumentError(FanbenchError):
    """An unusable document: it has another version, or a field is missing, unknown or of the wrong type."""


D = TypeVar("D", bound=Document)
_REASONS = {
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "unexpected_keyword_argument": "is unknown",
}


def encode(document: Document, indent: int | None = None) -> str:
    """The document as JSON: one line, or indented for people to read."""
    return document.model_dump_json(indent=indent)


def decode(kind: type[D], text: str | bytes, where: str) -> D:
    """Read what `encode` wrote; `where` is the file or URL that an error names.

    Raises:
        DocumentError: the text is not JSON or has another version, or a field is missing, unknown or of the wrong type.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise DocumentError(f"{where}: {_first(error, kind.remedy)}") from error


def validate(kind: type[D], fields: Mapping[str, object], where: str) -> D:
    """The document with these fields; an error names `where`.

    Raises:
        DocumentError: as `decode`.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise DocumentError(f"{where}: {_first(error, kind.remedy)}") from error


def read(kind: type[D], path: Path) -> D | None:
    """Read the document in a file; None while the file does not exist.

    Raises:
        DocumentError: as `decode`, naming the file.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode(kind, text, str(path))


def write(document: Document, path: Path) -> None:
    """Replace the file atomically: a reader finds either the old document or the new one."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(encode(document), encoding="utf-8")
    temporary.replace(path)


def _first(error: ValidationError, remedy: str) -> str:
    """The first fault, and what to do about it."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if field in ("version", "schema_version") and first["type"] == "literal_error":
        return f"{field} {first['input']!r} is not the one that this fanbench reads; use the fanbench that wrote it"
    reason = _REASONS.get(first["type"], f"is wrong: {reprlib.repr(first['input'])}: {first['msg']}")
    if not field:
        return f"not a document: {first['msg']}; {remedy}"
    return f"field '{field}' {reason}; {remedy}"
