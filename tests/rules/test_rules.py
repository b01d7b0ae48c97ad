"""Each rule of docs/method.md that is kept outside load/ is broken in a copy of the source: its test there must fail."""

import pytest

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
INBOX = "tests/brokers/test_inbox.py"

MUTATIONS = {  # what is broken: the test that must notice, the file, the rule, what stands in its place
    "a send waits for the acknowledgement": (PUBLISH + " -k never_waits", "generator/publish.py", "        await asyncio.sleep(0)\n\n    def _note", "        await task\n\n    def _note"),
    "due is when it is sent": (PUBLISH + " -k due_instants", "generator/publish.py", "await self._send(topic, phase, due_ns)", "await self._send(topic, phase, now_ns())"),
    "what is late is skipped": (PUBLISH + " -k stall_shows", "generator/publish.py", "            await self._send(topic, phase, due_ns)", "            if now_ns() - due_ns < 50_000_000:\n                await self._send(topic, phase, due_ns)"),
    "a send before it is due": (PUBLISH + " -k due_instants", "generator/publish.py", "(wait_ns := due_ns - now_ns()) > 0", "(wait_ns := due_ns - now_ns()) > 4_000_000"),
    "lateness is not kept": (PUBLISH + " -k stall_shows", "generator/publish.py", "self._lateness_ns.append(lateness_ns)", "self._lateness_ns.append(0)"),
    "a failed publish is no failure": (PUBLISH + " -k failed_publishes", "generator/publish.py", "            if self._outbox is None:\n                self._failed += 1", "            if self._outbox is None:\n                self._failed += 0"),
    "the generator's clock is not watched": (PUBLISH + " -k wall_clock", "generator/publish.py", "self._step_ns = self._clock.step_ns(ClockPair.read())", "self._step_ns = 0"),
    "a seq is given twice": (PUBLISH + " -k gap_free", "generator/publish.py", "self._seqs[topic] = seq + 1", "self._seqs[topic] = seq | 1"),
    "the schedule drifts": (SCHEDULE + " -k drift", "generator/schedule.py", "(int((i // size) * size * NS_PER_S / self.rate_hz)", "(i // size * int(size * 1000 / self.rate_hz) * 1_000_000"),
    "poisson is constant": (SCHEDULE + " -k exponential", "generator/schedule.py", "rng.expovariate(self.rate_hz)", "1 / self.rate_hz"),
    "the phase's end is in it": (SCHEDULE + " -k exclusive", "generator/schedule.py", "offset < end_ns", "offset <= end_ns"),
    "a clock set back is none": (CLOCK, "core/clock.py", "return (later.wall_ns - self.wall_ns) - (later.monotonic_ns - self.monotonic_ns)", "return max(0, (later.wall_ns - self.wall_ns) - (later.monotonic_ns - self.monotonic_ns))"),
    "only the last clock step counts": (CLOCK, "core/clock.py", "max(self.farthest_ns, self._began.step_ns(ClockPair.read()), key=abs)", "self._began.step_ns(ClockPair.read())"),
    "percentiles of all rounds are averaged": (VERDICT, "harness/analysis/standings.py", "_percentiles(counts.sum(axis=0, keepdims=True), values, percentiles)[0]", "_percentiles(counts, values, percentiles).mean(axis=0)"),
    "negative values are values": (HISTOGRAM, "core/histogram.py", "self.negative += int(times[below].sum())", "pass"),
    "achieved rate": (CHECKS, "harness/runner/checks.py", "if facts.achieved_hz >= MIN_ACHIEVED * offered:", "if facts.achieved_hz >= 0.9 * offered:"),
    "generator late": (CHECKS, "harness/runner/checks.py", "if facts.lateness_p99_ms <= limit_ms:", "if facts.lateness_p99_ms <= 2 * limit_ms:"),
    "a part at its limit": (CHECKS, "harness/runner/checks.py", "MAX_CORE = 0.90", "MAX_CORE = 1.00"),
    "clients missing at the end": (CHECKS, "harness/runner/checks.py", "facts.clients_at_start == facts.clients_at_end == wanted", "facts.clients_at_start == wanted"),
    "clients that came again": (CHECKS, "harness/runner/checks.py", "and facts.reconnects == 0", ""),
    "the load's own problems": (CHECKS, "harness/runner/checks.py", "return facts.load_problems[0] if facts.load_problems else None", "return None"),
    "histograms against the count": (CHECKS, "harness/runner/checks.py", "if count != facts.delivered:", "if count > facts.delivered:"),
    "ledgers against the count": (CHECKS, "harness/runner/checks.py", "facts.found_missing > lost", "False"),
    "negative latencies": (CHECKS, "harness/runner/checks.py", "if facts.negative == 0:", "if facts.negative >= 0:"),
    "a clock that is set": (CHECKS, "harness/runner/checks.py", "abs(facts.clock_step_ns) <= MAX_STEP_NS", "facts.clock_step_ns <= MAX_STEP_NS"),
    "other processes": (CHECKS, "harness/runner/checks.py", "limit = MAX_OTHERS_SHARE * facts.cores", "limit = facts.cores"),
    "failed publishes": (CHECKS, "harness/runner/checks.py", "if facts.failed_publishes == 0:", "if True:"),
    "one check is left out": (CHECKS, "harness/runner/checks.py", "    _failed,\n    _others,\n", "    _failed,\n"),
    "rounds are not shuffled": (MATRIX, "harness/schedule/rounds.py", "rng.sample(range(contenders), contenders)", "range(contenders)"),
    "differences are not paired": (STATS + " -k slowed_by_a_fifth", "harness/analysis/statistics.py", "_logs(values[second], common) - _logs(values[first], common)", "_logs(values[second], common) - _logs(values[first], common[::-1])"),
    "each pair for itself": (STATS + " -k against_itself", "harness/analysis/statistics.py", "critical = critical_value(len(names), fewest)", "critical = critical_value(2, fewest)"),
    "a verdict from three rounds": (STATS + " -k under_five", "harness/analysis/statistics.py", "MIN_ROUNDS = 5", "MIN_ROUNDS = 3"),
    "groups by neighbours": (STATS + " -k groups_are", "harness/analysis/statistics.py", "not told_apart[frozenset((leader, name))]", "not told_apart[frozenset((rest[max(0, rest.index(name) - 1)], name))]"),
    "promises are mixed": (VERDICT, "harness/analysis/standings.py", "if standing.delivery == delivery)", "if standing.delivery)"),
    "refused runs are ranked": (VERDICT, "harness/analysis/standings.py", "(run for run in runs if run.valid)", "(run for run in runs)"),
    "a disturbed run is not repeated": (JOBS, "harness/schedule/retry_queue.py", "self._tries < self._repeats", "self._tries < 0"),
    "a part at its limit is repeated": (JOBS, "harness/schedule/retry_queue.py", "if not run.disturbed:", "if False:"),
    "what cannot succeed comes again in the next round": (JOBS, "harness/schedule/retry_queue.py", "            self._leave_out(job)\n", ""),
    "what cannot succeed is repeated": (JOBS, "harness/schedule/retry_queue.py", "if run.permanent:", "if False:"),
    "expected without the topic's clients": (LOSSES, "harness/runner/loss_causes.py", "count * by_topic.get(topic, 0)\n        for place", "count * max(by_topic.values())\n        for place"),
    "each hears every generator": (LOSSES, "harness/runner/loss_causes.py", "if self.each_its_own", "if False"),
    "a loss in the broker is not told": (LOSSES, "harness/runner/loss_causes.py", "if lacking > 0:", "if lacking > 99:"),
    "a gap counts twice": (LOSSES, "harness/runner/loss_causes.py", "causes.get(Cause.GAP, 0)) - by_gap", "causes.get(Cause.GAP, 0))"),
    "what is left has no cause": (LOSSES, "harness/runner/loss_causes.py", "return split | {\"under_way\": left}", "return split | {\"under_way\": 0}"),
    "the latest clock step counts": (ACCOUNT, "harness/runner/assemble_run.py", "key=abs", "key=lambda step: -abs(step)"),
    "an overflow is not told": (INBOX, "brokers/inbox.py", "                self._lost += 1\n", "                pass\n"),
}  # fmt: skip


pytestmark = pytest.mark.timeout(300)  # all run in the first test's set-up


def unbroken() -> list[str]:
    """The tests of all mutations in two runs of pytest: whole files, and files of which tests are picked by name."""
    tests = {test.partition(" -k ")[::2] for test, *_ in MUTATIONS.values()}
    whole = sorted({file for file, picked in tests if not picked})
    others = sorted({file for file, picked in tests if picked})
    picked = " or ".join(sorted({picked for _, picked in tests if picked}))
    return [" ".join(whole), f"{' '.join(others)} -k '{picked}'"]


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """Exit codes of pytest by mutation; under their words, those of all their tests in a copy in which nothing is broken."""
    jobs = {words: (words,) for words in unbroken()} | MUTATIONS
    return dict(zip(jobs, run_jobs(list(jobs.values()), tmp_path_factory.mktemp("rules")), strict=True))


def test_the_tests_pass_where_nothing_is_broken(codes):
    assert [codes[words] for words in unbroken()] == [0, 0]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_noticed(name, codes):
    # 1 is a failed test; 0 is that none failed, and all else, a file that cannot be imported say, is no answer.
    assert codes[name] == 1, f"{MUTATIONS[name][0]} did not notice: {name}"
