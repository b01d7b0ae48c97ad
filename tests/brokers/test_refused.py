"""A topic that the broker refuses to a user is an error of its caller; the other topics go on, without a Gap."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from brokers.api import Gap
from brokers.endpoint import BrokerError
from brokers.programs.catalogue import PROGRAMS
from brokers.programs.probe import answers
from brokers.programs.running import Running, launch
from brokers.registry import open_endpoint
from core.errors import REFUSED
from core.ports import free_port
from core.process import spawn

USER, PASSWORD = "reader", "reads-only-ours"
DEADLINE_S = 20


@pytest.fixture
def valkey(tmp_path):
    """A server whose user may use topics that begin with `ours` only."""
    port, acl = free_port(), tmp_path / "acl"
    acl.write_text(f"user default off\nuser {USER} on >{PASSWORD} ~* &ours* +@all\n")
    command = [PROGRAMS["valkey"].find(), "--port", str(port), "--bind", "127.0.0.1", "--aclfile", acl, "--save", ""]
    ready = lambda: answers(port, [(b"PING\r\n", b"-NOAUTH")])  # noqa: E731
    spawned = lambda: spawn("valkey", command, tmp_path / "log", cwd=tmp_path)  # noqa: E731
    with launch(Running("valkey", {}, tmp_path / "data", spawned, ready)):
        yield f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}"


@pytest.fixture
def nats(tmp_path):
    """The same of nats-server."""
    port, config = free_port(), tmp_path / "nats.conf"
    allowed = {"publish": ["ours.>", "_INBOX.>"], "subscribe": ["ours.>", "_INBOX.>"]}
    user = {"user": USER, "password": PASSWORD, "permissions": allowed}
    config.write_text(json.dumps({"host": "127.0.0.1", "port": port, "authorization": {"users": [user]}}))
    command = [PROGRAMS["nats"].find(), "-c", config]
    spawned = lambda: spawn("nats", command, tmp_path / "log")  # noqa: E731
    with launch(Running("nats", {}, tmp_path / "data", spawned, lambda: answers(port, [(b"", b"INFO ")]))):
        yield f"nats://{USER}:{PASSWORD}@127.0.0.1:{port}"


async def others_go_on(url):
    adapter, endpoint = open_endpoint(url)
    async with adapter.producer(endpoint) as producer, adapter.consumer(endpoint) as consumer:
        await consumer.subscribe("ours.a")
        with pytest.raises(BrokerError, match=r"cannot subscribe 'theirs': .*[Pp]ermission"):
            await consumer.subscribe("theirs")
        await consumer.subscribe("ours.b")
        for topic in ("ours.a", "ours.b"):
            await producer.publish(topic, topic.encode())
        async with asyncio.timeout(DEADLINE_S):
            items = [await anext(aiter(consumer)) for _ in range(2)]
        assert not [item for item in items if isinstance(item, Gap)]
        assert [item.topic for item in items] == ["ours.a", "ours.b"]


async def test_redis(valkey):
    await others_go_on(valkey)


async def test_nats(nats):
    await others_go_on(nats)


@pytest.mark.parametrize("program", ["server", "generator"])
@pytest.mark.parametrize("broker", ["valkey", "nats"])
def test_a_program_says_by_its_exit_code_that_a_wrong_password_stays_wrong(request, tmp_path, broker, program):
    url = request.getfixturevalue(broker).replace(PASSWORD, "guessed")
    env = os.environ | {"FANBENCH_BROKER_URL": url, "FANBENCH_PORT": "0"}
    command = [sys.executable, "-P", "-m", program]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == REFUSED, done.stderr
    assert "check the user and the password" in done.stderr.splitlines()[-1]
    assert "guessed" not in done.stderr


async def test_nats_tells_a_refused_publish_at_a_later_one(nats):
    adapter, endpoint = open_endpoint(nats)
    async with adapter.producer(endpoint) as producer:

        async def publish_on():
            while True:
                await producer.publish("theirs", b"x")
                await asyncio.sleep(0)

        with pytest.raises(BrokerError, match=r"[Pp]ermission"):
            await asyncio.wait_for(publish_on(), DEADLINE_S)
