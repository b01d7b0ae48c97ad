"""Each rule of measuring is broken in a copy of the source, and the truth tests' cases must notice every one."""

import shutil
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from core.histogram import Histogram
from load.client_state import ClientState
from load.feed import Feed
from load.finalize import charge
from load.latency_recorder import LatencyRecorder
from load.ledger import Cause, Delivery, Track
from load.reader import StreamReader
from load.session import Session
from tests.mutation import Mutation, mutate
from tests.truth.cases import CASES, violations
from tests.truth.measuring import ROOT, Job, measure_side_by_side

pytestmark = pytest.mark.usefixtures("integration")

STAMPS = "D, S, R = X.T"
"""Where the due, sent and received instants of a fold come from."""
LATENCY = "L: I = A - np.repeat(D, C)"

MUTATIONS = {  # what is broken: the case that must notice, the function, the pattern (see tests/mutation.py), the replacement
    "latency from the send": ("hops", LatencyRecorder._fold_alike, LATENCY, LATENCY.replace("D", "S"), STAMPS),
    "latency from the replica": ("hops", LatencyRecorder._fold_alike, LATENCY, LATENCY.replace("D", "R"), STAMPS),
    "broker hop from the due instant": ("hops", LatencyRecorder._fold_alike, "F(R - S, C)", "F(R - D, C)", STAMPS),
    "fan-out hop from the send": ("hops", LatencyRecorder._fold_alike, "F(A - np.repeat(R, C))", "F(A - np.repeat(S, C))", STAMPS),
    "schedule hop left out": ("hops", LatencyRecorder._fold_alike, "F(S - D, C)", "F(0 * D, C)", STAMPS),
    "warm-up is measured": ("late warm-up", LatencyRecorder.fold, "[E for E in A if M]", "[E for E in A]"),
    "every second sample dropped": ("nothing", LatencyRecorder._by_server, "L[W == N]", "L[W == N][::2]"),
    "hot path takes no sample": ("nothing", StreamReader._readable, "F(N)", "None", "N = C()"),
    "negative made positive": ("clocks apart", LatencyRecorder._fold_alike, LATENCY, "L: I = np.abs(A - np.repeat(D, C))"),
    "negative dropped": ("clocks apart", Histogram.record_ns, "if B.any():\n    N += A\n    ...", "if B.any(): ..."),
    "samples lost under load": ("nothing", Session._fold, "L = F(H())", "L = F(H()[1:])"),
    "double counts as delivery": ("doubled", ClientState._event, f"V is {Delivery.DOUBLE}", "False"),
    "doubles ignored": ("doubled", ClientState._event, "X += E.M", "X += 0"),
    "late counts as double": ("swapped", Track._fill, f"return {Delivery.LATE}", f"return {Delivery.DOUBLE}"),
    "order ignored": ("swapped", ClientState._event, f"M and V is {Delivery.LATE}", "0"),
    "holes ignored": ("left out", Track.take, "A > B", "False"),
    "a hole is one event": ("left out", Track.take, "F(N, S - 1, A or B)", "F(S - 1, S - 1, A or B)"),
    "tail ignored": ("cut at the tail", charge, "Counter(A.B(*C, T if S else None))", "Counter(A.B(*C, None))"),
    "warm-up can be lost": ("left out of the warm-up", Track.lost, "min(L, H) - max(F, M) + 1", "min(L, H) - F + 1", "for F, L, C in A: ..."),
    "each loss is unexplained": ("left out with a gap", Track.take, "A or B", "B"),
    "down is under way": ("down to the end", Track.lost, "X = A or B", f"X = {Cause.TAIL}"),
    "a chunk is an event": ("framings", Feed._piece, "E = A.feed(P)", "E = A.feed(P)[:1]"),
    "cut events dropped": ("framings", StreamReader._slowly, "D = X = D or F()", "D = X = F()"),
    "resumes from the start": ("closed", StreamReader._writable, "A if B else C", "C"),
    "foreign ignored": ("not ours", ClientState._foreign, "X += 1", "X += 0"),
    "gaps ignored": ("left out with a gap", ClientState._gap, "X += 1", "X += 0"),
}  # fmt: skip


def mutant(change, tree):
    """A copy of the source with one rule broken, and the bytecode of all that is not."""
    for package in ("core", "load"):
        shutil.copytree(ROOT / package, tree / package)
    path, text = mutate(Mutation(*change))
    (tree / path).write_text(text)
    Path(cache_from_source(tree / path)).unlink(missing_ok=True)
    return tree


@pytest.fixture(scope="module")
def noticed(tmp_path_factory):
    """The faults that the case found in each mutation."""
    jobs = {
        name: Job(mutant(change, tmp_path_factory.mktemp("mutant")), {case: CASES[case].scripts})
        for name, (case, *change) in MUTATIONS.items()
    }
    results = measure_side_by_side(jobs)
    return {name: violations(CASES[case], results[name][case]) for name, (case, *_) in MUTATIONS.items()}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_rule_is_noticed(name, noticed):
    assert noticed[name], f"no case noticed: {name}"
