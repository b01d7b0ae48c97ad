"""Endpoints as contenders: their programs, and what is refused before a measurement."""

import pytest

from brokers.endpoint_contenders import endpoint_contender, require_endpoint_answers
from brokers.programs.catalogue import SERVICES
from core.errors import UsageError
from core.ports import free_port

TEXT = '[endpoint]\nurl = "http://127.0.0.1:{port}"\npath = "/sse"\npublish = "POST /publish"\n'


def endpoint_file(folder, name="hub", text=TEXT, port=8000):
    path = folder / f"{name}.toml"
    path.write_text(text.replace("{port}", str(port)), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_fanbench_starts_the_services_that_come_with_it(name):
    contender = endpoint_contender(name)
    assert (contender.program, contender.delivery, contender.url) == (name, "at-most-once", "http://{http}")
    assert contender.endpoint is not None
    assert not contender.embedded
    assert contender.durability == ""
    with pytest.raises(UsageError, match="no image of this service; leave out `--launch docker`"):
        contender.launched_by("docker").require_runnable()


def test_a_service_of_the_users_own_is_taken_as_it_is(tmp_path):
    contender = endpoint_contender(endpoint_file(tmp_path))
    assert (contender.name, contender.program, contender.url) == ("hub", None, "http://127.0.0.1:8000")
    with contender.launched(tmp_path) as service:
        assert service == ("http://127.0.0.1:8000", None)
    assert contender.runnable


@pytest.mark.parametrize("name", ["valkey", "sse-starlette", "nats-cluster", "memory"])
def test_a_name_stands_for_one_contender(tmp_path, name):
    with pytest.raises(UsageError, match=f"'{name}' is the name of another contender; add name = '{name}-endpoint'"):
        endpoint_contender(endpoint_file(tmp_path, name))


def test_a_program_that_fanbench_cannot_start_is_refused(tmp_path):
    text = '[endpoint]\nprogram = "nchn"\npath = "/sse"\npublish = "POST /publish"\n'
    with pytest.raises(
        UsageError, match=r"program = 'nchn': .*did you mean 'nchan'\? Start any other service yourself"
    ):
        endpoint_contender(endpoint_file(tmp_path, text=text))


def test_a_service_that_does_not_answer_is_told_before_the_measurement(tmp_path):
    port = free_port()
    contender = endpoint_contender(endpoint_file(tmp_path, port=port))
    with pytest.raises(
        UsageError, match=rf"endpoint 'hub': http://127.0.0.1:{port} does not answer .*start the service"
    ):
        require_endpoint_answers(contender.endpoint)
