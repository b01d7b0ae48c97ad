"""The contenders of PostgreSQL keep every promise that their adapters make, on the real program."""

from brokers.conformance import Conformance


class TestPostgres(Conformance):
    contender = "postgres"


class TestPostgresOutbox(Conformance):
    contender = "postgres-outbox"
