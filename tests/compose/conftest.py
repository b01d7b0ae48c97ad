import os
from collections.abc import Iterator

import pytest

from tests.compose.demo import Demo, docker, why_not
from tests.missing import missing


@pytest.fixture(scope="session")
def engine(integration: None) -> None:
    """A Docker daemon that answers; with CI=true a missing one fails."""
    reason = why_not()
    if reason:
        missing(f"{reason}; ../shared/tools/compose-lab up starts one")


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:
    """The image, built once for all profiles under a separate tag."""
    name = f"fanbench-test-{os.getpid()}"
    Demo([], name).compose("build")
    yield name
    docker("rmi", "-f", name)


@pytest.fixture
def demo(image: str, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo, started with the settings of the parameter: variables, profiles, `up` options.

    After a plain `down` nothing may be left.
    """
    words, _, options = request.param.partition(" --")
    settings = dict(word.split("=", 1) for word in words.split() if "=" in word)
    running = Demo([word for word in words.split() if "=" not in word], image, settings)
    volumes: set[str] = set()
    try:
        running.compose("up", "-d", *(f"--{options}".split() if options else []))
        volumes = running.volumes()
        yield running
    finally:
        running.compose("down", "-t", "5")
    assert running.leftovers() == ""
    assert volumes.isdisjoint(docker("volume", "ls", "--quiet").split())
