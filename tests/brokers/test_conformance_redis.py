"""The contenders of memory, Redis and Valkey keep every promise of their adapters, on their real programs."""

from brokers.conformance import Conformance


class TestMemory(Conformance):
    contender = "memory"


class TestValkey(Conformance):
    contender = "valkey"


class TestValkeyStreams(Conformance):
    contender = "valkey-streams"


class TestRedis(Conformance):
    contender = "redis"


class TestRedisStreams(Conformance):
    contender = "redis-streams"
