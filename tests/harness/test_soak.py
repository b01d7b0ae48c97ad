"""Two minutes of scenarios/soak.toml: `make soak`, which CI runs beside `make test`."""

import csv

import pytest

from tests.harness.command import fanbench

MB_PER_MIN = 12.0
"""Growth below this is noise: the slope is over 55 s, in which a reconnect storm may raise a part's high-water mark by a few
MB once (5.3 and 7.7 were seen of Locust). The leak of one event's frame a delivery would be 48."""


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_memory_is_flat_and_every_count_adds_up_through_a_fault_every_few_seconds(tmp_path):
    done = fanbench("compare", "valkey", "-s", "soak", "--duration", 110, "--out", tmp_path, timeout_s=280)
    (folder,) = tmp_path.iterdir()
    with (folder / "summary.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["valid"] == "true", (row["problems"], done.stderr)
    assert int(row["delivered"]) + int(row["lost"]) == int(row["expected"]) > 0
    assert float(row["recovered"]) == 1.0
    for part in ("server", "load", "generator"):
        assert float(row[f"{part}_growth_mb_min"]) < MB_PER_MIN
