"""bundle.json: the files of a bundle, a result that somebody else can check."""

from __future__ import annotations

from typing import ClassVar, Literal

from core.contracts.codec import Document


class BundleIndex(Document):
    """The contents of a bundle."""

    remedy: ClassVar[str] = "make the bundle again with fanbench bundle"
    version: Literal[1] = 1
    files: dict[str, str]
    """The hexadecimal SHA-256 of each other file of the bundle, by path, such as `broadcast/summary.csv`."""
