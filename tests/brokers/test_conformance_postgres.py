"""The PostgreSQL contenders keep every promise of their adapters, on the real program."""

from brokers.conformance import Conformance


class TestPostgres(Conformance):
    contender = "postgres"


class TestPostgresOutbox(Conformance):
    contender = "postgres-outbox"
