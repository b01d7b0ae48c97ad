"""The kit, on the server that PGNOTIFY_URL names: `PGNOTIFY_URL=pgnotify://user:password@host:port/db pytest`."""

import os

from brokers.sdk.testing import Conformance


class TestPgNotify(Conformance):
    contender = os.environ.get("PGNOTIFY_URL", "pgnotify://postgres@127.0.0.1:5432/postgres")
