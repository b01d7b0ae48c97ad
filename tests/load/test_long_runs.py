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

def text_of_an_hour(seed):
    rng = np.random.default_rng(seed)
    worker = WorkerResult()
    for second in range(3600):  # about 1,400 buckets of latency each, no two processes the same
        histogram = Histogram()
        histogram.record_ns(rng.lognormal(15, 1.5, 2000).astype(np.int64))
        worker.seconds.add(second, histogram)
    return encode(Totals.of(1, 0, worker))

texts = [text_of_an_hour(seed) for seed in range(4)]
merged = WorkerResult()
began = time.process_time()
for at in range(40):
    merged.add(decode(Totals, texts[at % 4], "totals").result())
rows = list(merged.seconds.seconds())
took_s = time.process_time() - began
assert len(rows) == 3600 and rows[7].histogram().count == 40 * 2000
text = max(texts, key=len)
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
