"""Each kind of fault can head a column of the decision table."""

from core.fault import KINDS
from harness.report.decision import FAULT_TITLES


def test_each_kind_of_fault_has_its_own_title() -> None:
    assert set(FAULT_TITLES) == set(KINDS)
    assert len(set(FAULT_TITLES.values())) == len(KINDS)
