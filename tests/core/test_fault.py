"""Faults as values."""

import pytest

from core.errors import UsageError
from core.fault import KINDS, TAIL_S, WHAT, Fault
from core.scenario import parse_scenario


@pytest.mark.parametrize(
    ("fields", "duration_s", "times"),
    [
        ({"at_s": 2}, 10, [2]),
        ({"at_s": 2}, 1, [2]),
        ({"at_s": 2, "every_s": 3}, 10, [2, 5, 8]),
        ({"at_s": 2, "every_s": 4}, 10, [2, 6]),
        ({"at_s": 20, "every_s": 4}, 10, [20]),
    ],
)
def test_when_it_begins(fields, duration_s, times):
    assert Fault(kind="broker-kill", **fields).times_s(duration_s) == times


def test_every_kind_says_what_it_means():
    assert set(WHAT) == set(KINDS)


def test_its_duration_and_share_are_the_defaults_or_given():
    assert Fault(kind="broker-stop").lasting_s == 5
    assert Fault(kind="clients-cut").share_of_clients == 1
    said = Fault(kind="clients-stall", for_s=0, share=0.5)
    assert (said.lasting_s, said.share_of_clients) == (0, 0.5)


def test_a_fault_of_nodes_has_its_measured_duration_unless_one_is_given():
    assert all(Fault(kind=kind).takes_s > WHAT[kind].for_s for kind in KINDS if WHAT[kind].of_links)
    assert Fault(kind="leader-kill").takes_s == WHAT["leader-kill"].usual_s
    assert Fault(kind="leader-kill", for_s=1).takes_s == 1 + TAIL_S
    assert Fault(kind="broker-stop").takes_s == 5 + TAIL_S


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "broker-killed"}, "broker-kill"),
        ({"kind": "link-cut", "for_s": -1}, "-1"),
        ({"kind": "link-cut", "fro_s": 1}, "fro_s"),
        ({"kind": "broker-kill", "every_s": 2}, "every_s = 2 and it lasts 2 s"),
    ],
)
def test_a_wrong_fault_is_named(fault, words):
    with pytest.raises(UsageError, match=words):
        parse_scenario({"faults": [fault]}, where="x.toml")
