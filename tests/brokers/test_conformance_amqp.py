"""The contenders of AMQP keep every promise that their adapters make, on their real programs."""

from brokers.conformance import Conformance


class TestRabbitMQ(Conformance):
    contender = "rabbitmq"


class TestRabbitMQConfirms(Conformance):
    contender = "rabbitmq-confirms"


class TestRabbitMQStream(Conformance):
    contender = "rabbitmq-stream"
