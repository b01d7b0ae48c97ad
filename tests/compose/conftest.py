import os
from collections.abc import Iterator

import pytest

from tests.compose.demo import Demo, docker, why_not


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker daemon that answers; with CI=true a missing one fails."""
    reason = why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must test with Docker; ../shared/tools/compose-lab up starts one")
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:
    """The image, built once for all profiles under a tag of its own."""
    name = f"fanbench-test-{os.getpid()}"
    Demo([], name).compose("build", "server")
    yield name
    docker("rmi", "-f", name)


@pytest.fixture
def demo(image: str, request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo up with the words of the parameter, profiles and `up` options; afterwards nothing of it may be left."""
    profiles, _, options = request.param.partition(" --")
    running = Demo(profiles.split(), image)
    try:
        running.compose("up", "-d", *(f"--{options}".split() if options else []))
        yield running
    finally:
        running.compose("down", "-v", "-t", "5")
    assert running.leftovers() == ""
