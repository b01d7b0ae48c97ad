"""An hour of forty workers adds up in little memory."""

import resource
import subprocess
import sys

import pytest

from tests.truth.measuring import ROOT

HOUR = """
import resource, sys, time
import numpy as np
from core.contracts.codec import decode, encode
from core.histogram import Histogram
from load.totals import Totals
from load.worker_result import WorkerResult

rng = np.random.default_rng(1)
worker = WorkerResult()
for second in range(3600):
    histogram = Histogram()
    histogram.record_ns((rng.gamma(2.0, 1.5e6, 500)).astype(np.int64), np.full(500, 4))
    worker.seconds.add(second, histogram)
text = encode(Totals.of(1, 0, worker))
merged = WorkerResult()
began = time.process_time()
for _ in range(40):
    merged.add(decode(Totals, text, "totals").result())
rows = list(merged.seconds.seconds())
took_s = time.process_time() - began
assert len(rows) == 3600 and rows[7].histogram().count == 40 * 2000
print(len(text), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, took_s)
"""


@pytest.mark.soak
@pytest.mark.timeout(320)
def test_an_hour_of_forty_workers_merges_in_a_gigabyte_and_thirty_seconds_of_cpu():
    done = subprocess.run([sys.executable, "-c", HOUR], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text_bytes, peak_bytes, took_s = map(float, done.stdout.split())
    print(done.stdout)
    assert peak_bytes < 1e9
    assert took_s < 30
    assert text_bytes < 50e6
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0
