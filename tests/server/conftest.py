"""One Valkey and one replica for all tests that change no setting."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.contenders import find_contender
from tests.server.program import Publisher, Replica, running


@pytest.fixture(scope="session")
def valkey(integration: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Valkey."""
    with find_contender("valkey").launched(tmp_path_factory.mktemp("valkey")) as broker:
        yield broker.url


@pytest.fixture(scope="session")
def replica(valkey: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A replica with the default settings; each test uses its own topics."""
    with running(tmp_path_factory.mktemp("replica"), broker_url=valkey, topic_linger_s=1) as replica:
        yield replica


@pytest.fixture
def publisher(valkey: str) -> Iterator[Publisher]:
    publisher = Publisher(int(valkey.rpartition(":")[2]))
    yield publisher
    publisher.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
