"""Each rule of measuring is broken in a copy of the source, and the truth tests' cases must notice every one."""

import shutil

import pytest

from tests.truth.cases import CASES, violations
from tests.truth.measuring import ROOT, Job, measure_side_by_side

LATENCY = "arrived_ns - np.repeat(due_ns, counts)"
FANOUT = "arrived_ns - np.repeat(received_ns, counts)"
MUTATIONS = {  # what is broken: the case that must notice, the file, the rule, what stands in its place
    "latency from the send": ("hops", "load/latency_recorder.py", LATENCY, LATENCY.replace("due", "sent")),
    "latency from the replica": ("hops", "load/latency_recorder.py", LATENCY, LATENCY.replace("due", "received")),
    "broker hop from the due instant": ("hops", "load/latency_recorder.py", "received_ns - sent_ns", "received_ns - due_ns"),
    "fan-out hop from the send": ("hops", "load/latency_recorder.py", FANOUT, FANOUT.replace("received", "sent")),
    "schedule hop left out": ("hops", "load/latency_recorder.py", "(sent_ns - due_ns, counts)", "(0 * due_ns, counts)"),
    "warm-up is measured": ("late warm-up", "load/latency_recorder.py", "for event in events if event.measured]", "for event in events]"),
    "every second sample dropped": ("nothing", "load/latency_recorder.py", "latency_ns[which == at]", "latency_ns[which == at][::2]"),
    "hot path takes no sample": ("nothing", "load/reader.py", "parsed.arrived(now_ns)", "pass"),
    "negative made positive": ("clocks apart", "load/latency_recorder.py", f"= {LATENCY}", f"= np.abs({LATENCY})"),
    "negative dropped": ("clocks apart", "core/histogram.py", "self.negative += int(times[below].sum())", "pass"),
    "samples lost under load": ("nothing", "load/session.py", "self._registry.harvest())", "self._registry.harvest()[1:])"),
    "double counts as delivery": ("doubled", "load/client_state.py", "if verdict is Delivery.DOUBLE:", "if verdict is None:"),
    "doubles ignored": ("doubled", "load/client_state.py", "self._counters.duplicated += event.measured", "pass"),
    "late counts as double": ("swapped", "load/ledger.py", "LATE\n\n    def behind", "DOUBLE\n\n    def behind"),
    "order ignored": ("swapped", "load/client_state.py", "event.measured and verdict is Delivery.LATE", "0"),
    "holes ignored": ("left out", "load/ledger.py", "            if seq > self.next_seq:\n", "            if False:\n"),
    "a hole is one event": ("left out", "load/ledger.py", "SeqSpan(self.next_seq, seq - 1,", "SeqSpan(seq - 1, seq - 1,"),
    "tail ignored": ("cut at the tail", "load/finalize.py", "bounds.high_seq if stays else None", "None"),
    "warm-up can be lost": ("left out of the warm-up", "load/ledger.py", "last - max(first, low_seq) + 1", "last - first + 1"),
    "each loss is unexplained": ("left out with a gap", "load/ledger.py", "self.cause or Cause.UNEXPLAINED", "Cause.UNEXPLAINED"),
    "down is under way": ("down to the end", "load/ledger.py", "cause = self.cause or tail", "cause = Cause.TAIL"),
    "a chunk is an event": ("framings", "load/frames.py", "items += known[0]", "items += known[0][:1]"),
    "cut events dropped": ("framings", "load/reader.py", "decoder = self._decoder = decoder or", "decoder = self._decoder ="),
    "resumes from the start": ("closed", "load/reader.py", 'last_event_id=last.id if last else ""', 'last_event_id=""'),
    "foreign ignored": ("not ours", "load/client_state.py", "self._counters.foreign[foreign.reason] += 1", "pass"),
    "gaps ignored": ("left out with a gap", "load/client_state.py", "self._counters.gaps += 1", "pass"),
}  # fmt: skip


def mutant(path, old, new, tree):
    """A copy of the source with one rule broken."""
    for package in ("core", "load"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (tree / path).read_text()
    assert text.count(old) == 1, f"{path} does not hold {old!r} once: write the mutation anew"
    (tree / path).write_text(text.replace(old, new))
    return tree


@pytest.fixture(scope="module")
def noticed(tmp_path_factory):
    """What the case found wrong with each mutation."""
    jobs = {
        name: Job(mutant(*change, tmp_path_factory.mktemp("mutant")), {case: CASES[case].scripts})
        for name, (case, *change) in MUTATIONS.items()
    }
    results = measure_side_by_side(jobs)
    return {name: violations(CASES[case], results[name][case]) for name, (case, *_) in MUTATIONS.items()}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_noticed(name, noticed):
    assert noticed[name], f"no case noticed: {name}"
