"""The orders to the load while its clients run, one for each line of `--control`; docs/load.md lists them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from core.contracts.codec import Document


class LoadOrder(Document):
    """One line. People also write these by hand, so most fields are optional."""

    remedy: ClassVar[str] = "docs/load.md lists the orders"
    version: Literal[1] = 1
    do: Literal["mark", "cut", "stall", "churn", "published", "begin"]
    """`begin`: the schedule of sessions starts at `at_ns`."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the clients."""
    for_s: float = Field(0.0, ge=0)
    at_ns: int = Field(0, ge=0)
    """When the order was given; 0: when its line was written."""

    def given_at(self, at_ns: int) -> LoadOrder:
        """The same order at that instant."""
        return LoadOrder(do=self.do, share=self.share, for_s=self.for_s, at_ns=at_ns)
