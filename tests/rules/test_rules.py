"""Each rule of docs/method.md outside load/ is broken in a copy of the source, and its test there must fail."""

import pytest

from brokers.inbox import Inbox
from core import clock_offset
from core.clock import ClockPair, ClockWatch
from core.histogram import Histogram
from generator.lateness import Lateness
from generator.pace import Pace
from generator.publish import EventPublisher
from generator.schedule import Schedule
from harness.analysis import boundaries, judgements, standings, statistics
from harness.runner import assemble_run, checks, loss_causes
from harness.schedule.retry_queue import RetryQueue
from harness.schedule.rounds import shuffled_rounds
from load import clock_problems
from tests.mutation import Mutation, mutate
from tests.rules.mutating import run_jobs

PUBLISH, SCHEDULE = "tests/generator/test_publish.py", "tests/generator/test_schedule.py"
CHECKS, STATS, LOSSES = (
    "tests/harness/runner/test_checks.py",
    "tests/harness/analysis/test_statistics.py",
    "tests/harness/runner/test_loss_causes.py",
)
MATRIX, VERDICT, JOBS = (
    "tests/harness/schedule/test_rounds.py",
    "tests/harness/analysis/test_verdict.py",
    "tests/harness/schedule/test_jobs.py",
)
CLOCK, HISTOGRAM, ACCOUNT = (
    "tests/core/test_clock.py",
    "tests/core/test_histogram.py -k negative",
    "tests/harness/runner/test_assemble_run.py",
)
CLOCKS, OFFSET = "tests/load/test_clocks.py", "tests/core/test_clock_offset.py"
INBOX = "tests/brokers/test_inbox.py"
NOW_NS = '__import__("time").time_ns()'
NEVER_PAIRED = "F(A, C) - F(B, C[::-1])"
BOUNDS, WORDS = "tests/harness/analysis/test_boundaries.py", "tests/harness/analysis/test_judgements.py"

MUTATIONS = {  # what is broken: the test that must notice, the function, the pattern (see tests/mutation.py), the replacement
    "a send waits for the acknowledgement": (PUBLISH + " -k never_waits", EventPublisher._steps, "self._begin(E, D)", "[self._begin(E, D), (yield from iter(lambda: 0 if self.in_flight else None, None))]"),
    "due is when it is sent": (PUBLISH + " -k due_instants", EventPublisher._steps, "self._begin(E, D)", f"self._begin(E, {NOW_NS})"),
    "what is late is skipped": (PUBLISH + " -k stall_shows", EventPublisher._steps, "self._begin(E, D)", f"{NOW_NS} - D < 50_000_000 and self._begin(E, D)"),
    "a send before it is due": (PUBLISH + " -k due_instants", Pace._waits, "W <= 0", "W <= 4_000_000"),
    "lateness is not kept": (PUBLISH + " -k stall_shows", Lateness.note, "V.append(S - D)", "V.append(0)"),
    "a failed publish is no failure": (PUBLISH + " -k failed_publishes", EventPublisher._fail, "X += E", "X += 0"),
    "the generator's clock is not watched": (PUBLISH + " -k wall_clock", EventPublisher.flush, "X = F(G())", "X = 0"),
    "a seq is given twice": (PUBLISH + " -k gap_free", EventPublisher._begin, "X = S + 1", "X = S | 1"),
    "the schedule drifts": (SCHEDULE + " -k drift", Schedule._exact_ns, "int(I // B * B * S / R)", "I // B * int(B * 1000 / R) * 1_000_000"),
    "poisson is constant": (SCHEDULE + " -k exponential", Schedule._poisson, "X.expovariate(R)", "1 / R"),
    "the phase's end is in it": (SCHEDULE + " -k exclusive", Schedule.until_ns, "A < B", "A <= B"),
    "a clock set back is none": (CLOCK, ClockPair.step_ns, "return X", "return max(0, X)"),
    "only the last clock step counts": (CLOCK, ClockWatch.look, "max(F, L, key=abs)", "L"),
    "percentiles of all rounds are averaged": (VERDICT, standings.percentile_band, "F(C.sum(axis=0, keepdims=True), V, P)[0]", "F(C, V, P).mean(axis=0)"),
    "negative values are values": (HISTOGRAM, Histogram.record_ns, "if B.any():\n    N += A\n    ...", "if B.any(): ..."),
    "achieved rate": (CHECKS, checks._achieved, "A >= M * B", "A >= 0.9 * B"),
    "generator late": (CHECKS, checks._generator_late, "A - B > L", "A - B > 2 * L"),
    "visits that never connected": (CHECKS, checks._visits, "P == D == O", "P == D"),
    "a part at its limit": (CHECKS, checks._parts, "A > M", "A > 1.0"),
    "clients missing at the end": (CHECKS, checks._clients, "S == E == W", "S == W"),
    "clients that came again": (CHECKS, checks._clients, "R == 0", "True"),
    "the load's own problems": (CHECKS, checks._load, "return X", "return None"),
    "histograms against the count": (CHECKS, checks._counts, "A != B", "A > B"),
    "ledgers against the count": (CHECKS, checks._counts, "A > B", "False"),
    "negative latencies": (CHECKS, checks._negative, "A == 0", "A >= 0"),
    "a clock that is set": (CHECKS, checks._clock, "abs(A) <= M", "A <= M"),
    "other processes": (CHECKS, checks._others, "M * C", "C"),
    "failed publishes": (CHECKS, checks._failed, "A == 0", "True"),
    "one check is left out": (CHECKS, checks.problems, "tuple(P for C in A if B)", "tuple(P for C in A[:-1] if B)"),
    "rounds are not shuffled": (MATRIX, shuffled_rounds, "X.sample(A, B)", "A"),
    "differences are not paired": (STATS + " -k slowed_by_a_fifth", statistics.differences, "F(A, C) - F(B, C)", NEVER_PAIRED),
    "each pair for itself": (STATS + " -k against_itself", statistics.differences, "X = F(len(A), B, L, R)", "X = F(2, B, L, R)"),
    "a verdict from three rounds": (STATS + " -k under_five", statistics.differences, "len(A) >= M", "len(A) >= 3"),
    "every look spends the whole risk": (BOUNDS + " -k spent_by_the_last", boundaries.Looks.spent, "(L / M) ** P", "1.0"),
    "looks are forgotten": (BOUNDS + " -k cost_little", boundaries._boundaries, "X &= V", "X |= V"),
    "one figure takes the risk of all": (WORDS + " -k shared_by_promises", judgements.judge_family, "A / len(F) / P", "A / len(F)"),
    "half an interval within the margin is equivalent": (WORDS + " -k follows_from_the_interval", judgements.PairJudgement.within_margin, "A <= M and B >= 1 / M", "A <= M or B >= 1 / M"),
    "deliveries make a percentile": (WORDS + " -k deliveries_do_not_count", judgements._values, "X.published", "X.delivered"),
    "promises are mixed": (VERDICT, standings.families, "A == B", "True"),
    "refused runs are ranked": (VERDICT, standings.standings, "sorted((A for A in B if C), key=K)", "sorted((A for A in B), key=K)"),
    "a disturbed run is not repeated": (JOBS, RetryQueue.done, "T < R", "T < 0"),
    "a part at its limit is repeated": (JOBS, RetryQueue.done, "not R.D", "False"),
    "what cannot succeed comes again in the next round": (JOBS, RetryQueue._leave_out, "[J for J in R if K(J) != K(F)]", "[J for J in R]"),
    "what cannot succeed is repeated": (JOBS, RetryQueue.done, "if R.P:\n    A(K)\n    F(J)\nelse: ...", "if False: pass\nelse: ..."),
    "expected without the topic's clients": (LOSSES, loss_causes.expected_deliveries, "N * C.get(T, 0)", "N * max(C.values())"),
    "each hears every generator": (LOSSES, loss_causes.Evidence.heard_by, "A if B else C", "C"),
    "a loss in the broker is not told": (LOSSES, loss_causes.not_received, "A > 0", "A > 99"),
    "a gap counts twice": (LOSSES, loss_causes.split_by_cause, "max(A, B) - G", "max(A, B)"),
    "what is left has no cause": (LOSSES, loss_causes.split_by_cause, "S | {C: L}", "S | {C: 0}"),
    "the latest clock step counts": (ACCOUNT, assemble_run._facts, "max(A, key=abs)", "min(A, key=abs)"),
    "a difference within the clocks' bound": (WORDS + " -k beyond_the_clocks", judgements.PairJudgement.blurred, "A > M * C", "False"),
    "a hop within the clocks' bound": (CLOCKS + " -k tenth_of_the_median", clock_problems.wide_bounds, "A > M * P", "False"),
    "an offset that a probe's way moves": (OFFSET + " -k always_within", clock_offset.offset_at, "min(A, B + max(M))", "min(A, B)"),
    "an overflow is not told": (INBOX, Inbox.add, "self._lost += 1", "self._lost += 0"),
}  # fmt: skip


pytestmark = [pytest.mark.usefixtures("integration"), pytest.mark.timeout(300)]  # all run in the first test's set-up


def unbroken() -> list[str]:
    """The tests of all mutations in two runs of pytest: whole files, and files with tests selected by name."""
    tests = {test.partition(" -k ")[::2] for test, *_ in MUTATIONS.values()}
    whole = sorted({file for file, picked in tests if not picked})
    others = sorted({file for file, picked in tests if picked})
    picked = " or ".join(sorted({picked for _, picked in tests if picked}))
    return [" ".join(whole), f"{' '.join(others)} -k '{picked}'"]


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """pytest's exit codes by mutation; by test selection, those in a copy in which nothing is broken."""
    jobs = {words: (words,) for words in unbroken()}
    jobs |= {name: (test, *mutate(Mutation(*change))) for name, (test, *change) in MUTATIONS.items()}
    return dict(zip(jobs, run_jobs(list(jobs.values()), tmp_path_factory.mktemp("rules")), strict=True))


def test_the_tests_pass_where_nothing_is_broken(codes):
    assert [codes[words] for words in unbroken()] == [0, 0]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_noticed(name, codes):
    # 1 means a failed test, 0 that none failed; anything else, such as a file that cannot be imported, is no answer.
    assert codes[name] == 1, f"{MUTATIONS[name][0]} did not notice: {name}"
