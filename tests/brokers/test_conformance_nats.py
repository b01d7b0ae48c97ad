"""The contenders of NATS keep every promise that their adapters make, on their real programs."""

from brokers.conformance import Conformance


class TestNats(Conformance):
    contender = "nats"


class TestNatsJetStream(Conformance):
    contender = "nats-jetstream"
