"""Sessions and visits follow only from their rules, and have the promised totals."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.contracts.session_rules import NS_PER_S, SessionRules
from core.token_sessions import END_MARKER, expected_deliveries, mean_lifetime_s, sessions, visits


def rules_of(**fields):
    usual = {
        "arrivals_hz": 3.0,
        "lifetime_s": (1, 6),
        "rate_hz": (30, 100),
        "payload_bytes": (4, 40),
        "warmup_s": 2,
        "duration_s": 8,
    }
    return SessionRules.model_validate(usual | fields)


shares = st.floats(0, 1)
rules = st.builds(
    rules_of,
    seed=st.integers(0, 50),
    arrivals_hz=st.floats(0.2, 5),
    clients=st.integers(1, 3),
    second_tab=shares,
    late_join=shares,
    resume=shares,
    leave_early=shares,
    warmup_s=st.floats(0, 4),
)


@given(rules)
@settings(deadline=None, max_examples=40)
def test_every_session_lies_within_the_run_and_every_visit_within_its_session(rules):
    found = list(sessions(rules))
    assert [one.number for one in found] == list(range(len(found)))
    for one in found:
        assert 0 <= one.begins_ns < one.due_ns[0] <= one.due_ns[-1] < rules.end_ns
        assert list(one.due_ns) == sorted(one.due_ns)
        measured = [seq for seq, due in enumerate(one.due_ns) if due >= rules.warmup_ns]
        assert measured == list(range(one.measured_from, one.last_seq + 1))
        assert all(4 <= len(one.payload(seq)) <= 40 for seq in range(one.last_seq))
        assert one.payload(one.last_seq) == END_MARKER
        for visit in one.visits:
            assert one.begins_ns <= visit.opens_ns < one.due_ns[-1] or visit.opens_ns == one.begins_ns
            assert visit.moves_after_seq < visit.last_seq <= one.last_seq
            assert one.expected(visit) == sum(seq <= visit.last_seq for seq in measured)
    numbers = [visit.number for one in found for visit in one.visits]
    assert numbers == list(range(len(numbers)))


@given(rules)
@settings(deadline=None, max_examples=20)
def test_visits_are_ordered_by_opening_and_complete(rules):
    planned = list(visits(rules))
    assert [one.opens_ns for one in planned] == sorted(one.opens_ns for one in planned)
    assert sorted(one.number for one in planned) == list(range(len(planned)))
    assert sum(one.session.expected(one.visit) for one in planned) == expected_deliveries(rules)


def test_the_same_rules_give_the_same_sessions_and_another_seed_others():
    assert list(sessions(rules_of())) == list(sessions(rules_of()))
    assert list(sessions(rules_of())) != list(sessions(rules_of(seed=2)))


@pytest.mark.parametrize(
    "fields",
    [
        {"lifetime_s": (0.01, 0.01)},
        {"rate_hz": (0.01, 0.01)},
        pytest.param({"rate_hz": (100_000, 100_000), "lifetime_s": (0.8, 1)}, marks=pytest.mark.slow),
        {"payload_bytes": (0, 0)},
        {"payload_bytes": (4096, 4096)},
        {"second_tab": 1, "late_join": 1, "resume": 1, "leave_early": 1, "clients": 16},
        {"warmup_s": 0, "duration_s": 1.5},
        {"lifetime_s": (1_000_000, 1_000_000)},
    ],
    ids=str,
)
def test_the_ends_of_every_range_give_sessions_that_end(fields):
    rules = rules_of(**{"arrivals_hz": 2} | fields)
    found = list(sessions(rules))
    for one in found:
        assert one.begins_ns <= one.due_ns[0] + 1
        assert one.due_ns[-1] < rules.end_ns
        assert list(one.due_ns) == sorted(one.due_ns)
        assert all(visit.moves_after_seq < max(1, visit.last_seq) for visit in one.visits)
        assert all(len(one.payload(seq)) == one.sizes[seq] for seq in range(len(one.due_ns)))
    assert sum(one.session.expected(one.visit) for one in visits(rules)) == expected_deliveries(rules)


def test_a_share_that_is_changed_changes_no_session():
    plain, busy = sessions(rules_of()), sessions(rules_of(resume=1.0, leave_early=1.0, late_join=1.0))
    for one, other in zip(plain, busy, strict=True):
        assert (one.due_ns, one.sizes) == (other.due_ns, other.sizes)
        assert all(visit.moves_after_seq >= 0 for visit in other.visits if visit.last_seq > 0)
        assert all(visit.late for visit in other.visits)


def test_sessions_follow_the_rules_for_arrival_lifetime_and_rate():
    rules = rules_of(arrivals_hz=20, duration_s=100, warmup_s=0, lifetime_s=(1, 10))
    found = [one for one in sessions(rules) if one.begins_ns < 90 * NS_PER_S]
    assert len(found) == pytest.approx(20 * 90, rel=0.1)
    gaps = [later.begins_ns - one.begins_ns for one, later in itertools.pairwise(found)]
    assert sum(gap < NS_PER_S / 20 for gap in gaps) / len(gaps) == pytest.approx(1 - 1 / 2.718, abs=0.05)
    lives_s = [(one.due_ns[-1] - one.begins_ns) / NS_PER_S for one in found]
    assert sum(lives_s) / len(lives_s) == pytest.approx(mean_lifetime_s(rules), rel=0.1)
    rates = [len(one.due_ns) / ((one.due_ns[-1] - one.due_ns[0]) / NS_PER_S) for one in found if one.last_seq > 100]
    assert sum(rates) / len(rates) == pytest.approx(65, rel=0.1)
    bursts = [len(list(same)) for one in found for _, same in itertools.groupby(one.due_ns)]
    assert max(bursts) == 6


def test_payloads_differ_from_session_to_session_and_from_event_to_event():
    one, other = itertools.islice(sessions(rules_of(payload_bytes=(20, 20))), 2)
    assert len({one.payload(seq) for seq in range(20)}) == 20
    assert all(one.payload(seq) != other.payload(seq) for seq in range(20))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lifetime_s": (9, 3)}, "the minimum, 0.01 or more, and then the maximum"),
        ({"lifetime_s": (0, 3)}, "the minimum, 0.01 or more"),
        ({"rate_hz": (0.0001, 0.0002)}, "the minimum, 0.01 or more"),
        ({"rate_hz": (1, 1e10)}, "100,000 or less"),
        ({"payload_bytes": (-1, 3)}, "the minimum, 0 or more, and then the maximum"),
        ({"resume": 1.5}, "less than or equal to 1"),
        ({"arrivals_hz": 0}, "greater than 0"),
    ],
)
def test_rules_that_make_no_sense_are_refused(fields, reason):
    with pytest.raises(ValidationError, match=reason):
        rules_of(**fields)
