"""Every contender keeps every promise that its adapter makes, on its real program."""

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


class TestRabbitMQ(Conformance):
    contender = "rabbitmq"


class TestRabbitMQConfirms(Conformance):
    contender = "rabbitmq-confirms"


class TestRabbitMQStream(Conformance):
    contender = "rabbitmq-stream"


class TestRabbitMQMqtt(Conformance):
    contender = "rabbitmq-mqtt"


class TestMosquitto(Conformance):
    contender = "mosquitto"


class TestMosquittoQoS1(Conformance):
    contender = "mosquitto-qos1"


class TestNats(Conformance):
    contender = "nats"


class TestNatsJetStream(Conformance):
    contender = "nats-jetstream"


class TestNatsMqtt(Conformance):
    contender = "nats-mqtt"
