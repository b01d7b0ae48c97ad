"""The order of a cluster's nodes in a program's URL."""

import pytest

from harness.runner.links import starting_at


@pytest.mark.parametrize(
    ("url", "place", "expected"),
    [
        ("nats://a:1,b:2,c:3", 0, "nats://a:1,b:2,c:3"),
        ("nats://a:1,b:2,c:3", 2, "nats://c:3,a:1,b:2"),
        ("nats://a:1,b:2,c:3?replicas=3&x=1,2", 4, "nats://b:2,c:3,a:1?replicas=3&x=1,2"),
        ("redis+sentinel://u:p,w@a:1,b:2/fanbench?run_name=x", 1, "redis+sentinel://u:p,w@b:2,a:1/fanbench?run_name=x"),
        ("nats://a:1", 5, "nats://a:1"),
    ],
)
def test_hosts_are_rotated_and_nothing_else_changes(url, place, expected):
    assert starting_at(url, place) == expected
