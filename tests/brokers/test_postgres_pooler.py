"""PgBouncer in front of PostgreSQL: in transaction mode notifications would get lost, and it is refused; in session mode all works."""

import os
import shutil
import socket
from contextlib import contextmanager

import pytest

from brokers.conformance.workbench import with_address
from brokers.contenders import find_contender
from brokers.errors import BrokerError, CauseKind
from brokers.programs.postgres import as_user
from core.ports import free_port
from core.process import spawn
from tests.waiting import wait_until

DEADLINE_S = 30.0
pytestmark = pytest.mark.soak


@pytest.fixture
def pgbouncer():
    """The program, from the system's package; nothing else of fanbench needs it."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    return found


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def pooled(program, bench, folder, mode):
    """The broker's URL through a pool in that mode."""
    port = free_port()
    folder.chmod(0o755)
    (folder / "users").write_text('"fanbench" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={bench.address.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = trust\nauth_file = {folder / 'users'}\npool_mode = {mode}\n"
    )
    child = spawn("pgbouncer", [*as_user(), program, folder / "pgbouncer.ini"], folder / "pgbouncer.log")
    try:
        wait_until(lambda: answers(port), f"pgbouncer answers; {child.last_words()}", DEADLINE_S)
        yield with_address(bench.url, f"127.0.0.1:{port}")
    finally:
        child.kill()


@pytest.fixture(params=["postgres", "postgres-outbox"])
def bench(request, running_programs):
    return running_programs.workbench(find_contender(request.param))


async def test_a_pool_in_transaction_mode_is_refused_by_name(bench, pgbouncer, tmp_path):
    with pooled(pgbouncer, bench, tmp_path, "transaction") as url:
        for side in (bench.adapter.producer, bench.adapter.consumer):
            for _ in range(3):
                with pytest.raises(BrokerError, match=r"a pooler is in between.*; .*pool_mode = session") as caught:
                    async with side(bench.endpoint(url)):
                        pass
                assert caught.value.kind is CauseKind.WRONG_PROTOCOL


async def test_a_pool_in_session_mode_delivers(bench, pgbouncer, tmp_path):
    with pooled(pgbouncer, bench, tmp_path, "session") as url:
        endpoint = bench.endpoint(url)
        async with bench.reader("pooled", endpoint=endpoint) as (_, reader), bench.producer(endpoint) as producer:
            for number in range(20):
                await producer.publish("pooled", b"%d" % number)
            await reader.count(20)
