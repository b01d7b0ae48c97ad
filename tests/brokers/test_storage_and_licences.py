"""Claims about storage and licences have a source in docs/brokers.md, and match how the programs are started."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers.contender import Contender
from brokers.contenders import all_contenders, cluster_contenders, find_contender
from brokers.programs.licences import licence

PAGE = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text(encoding="utf-8")
EVERY = [*all_contenders(), *cluster_contenders()]


@pytest.mark.parametrize("contender", [c for c in EVERY if c.kept], ids=lambda c: c.name)
def test_the_docs_list_the_storage_of_each_contender(contender: Contender) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{contender.name}`" in line]
    assert any(f"| {contender.durability} |" in row for row in rows), contender.durability


@pytest.mark.parametrize("contender", EVERY, ids=lambda c: c.name)
def test_only_at_least_once_contenders_keep_events(contender: Contender) -> None:
    assert bool(contender.kept) is (contender.delivery == "at-least-once")


def test_a_clusters_settings_change_the_statement() -> None:
    assert find_contender("valkey-streams-sentinel?fsync_every_s=0").durability == (
        "append-only file on each node, fsync at each write"
    )
    assert find_contender("nats-jetstream-r3?sync_interval_s=5").durability == "three copies on file, fsync every 5 s"
    assert find_contender("postgres-outbox?synchronous_commit=0").durability.endswith("no fsync before the confirm")
    assert find_contender("nats-jetstream-r3?sync_interval_s=0").durability.endswith("fsync at each write")


def test_the_users_own_broker_has_no_statement() -> None:
    assert find_contender("redis://127.0.0.1").durability == ""
    assert find_contender("memory").durability == "nothing is kept"


@pytest.mark.parametrize(
    ("program", "version", "said", "row"),
    [
        ("valkey", "9.1.2", "BSD-3-Clause", "valkey"),
        ("valkey-sentinel", "9.1.2", "BSD-3-Clause", "valkey"),
        ("redis", "7.0.15", "BSD-3-Clause", "redis before 7.4"),
        ("redis", "7.4.1", "RSALv2 or SSPL-1.0", "redis 7.4 to 7.9"),
        ("redis-sentinel", "8.2.0", "AGPL-3.0, RSALv2 or SSPL-1.0", "redis 8.0 and later"),
        ("rabbitmq-cluster", "3.10.8", "MPL-2.0", "rabbitmq"),
        ("mosquitto", "2.0.11", "EPL-2.0 or BSD-3-Clause", "mosquitto"),
        ("nats", "2.15.1", "Apache-2.0", "nats"),
        ("postgres", "15.6", "PostgreSQL", "postgres"),
    ],
)
def test_a_licence_depends_on_the_version(program: str, version: str, said: str, row: str) -> None:
    assert licence(program, version) == said
    assert f"| {row} | {said} |" in PAGE


def test_the_unknown_is_not_stated() -> None:
    assert licence("redis", "") == ""
    assert licence("kafka", "4.0") == ""
