"""examples/shop: Locust runs its customers, and Locust's table agrees with the shop's own counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.ports import free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples" / "shop"


@pytest.fixture
def shop(integration, tmp_path):
    """The address of the shop."""
    port, log = free_port(), tmp_path / "shop.log"
    words = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", SHOP, "--port", port]
    with log.open("wb") as output:
        child = subprocess.Popen([str(word) for word in words], stdout=output, stderr=output, cwd=tmp_path)
    try:
        wait_until(lambda: child.poll() is not None or "running on" in log.read_text(), "the shop", 60)
        assert child.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()


def test_customers_listen_and_click(shop, tmp_path):
    words = ["--headless", "-u", 6, "-r", 6, "-t", "8s", "--host", shop, "--json", "--stop-timeout", 20]
    command = [sys.executable, "-m", "locust", "-f", SHOP / "locustfile.py", *words]
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    bought = rows["/orders"]["num_requests"]
    assert bought > 0
    assert rows["orders connect"]["num_requests"] == rows["news connect"]["num_requests"] == 6
    assert rows["order to shipped"]["num_requests"] == bought
    assert rows["order to shipped"]["min_response_time"] >= 140  # three steps of 50 ms
    assert rows["orders"]["num_requests"] == 3 * bought  # paid, packed, shipped: each delivery is counted
    assert rows["orders"]["num_none_requests"] == 0
    assert (
        rows["orders"]["min_response_time"] < rows["order to shipped"]["min_response_time"]
    )  # each from its own beginning
    assert rows["news"]["num_requests"] > 0
    assert not any(row["num_failures"] for row in rows.values())
