"""The contenders of MQTT keep every promise that their adapters make, on their real programs; RabbitMQ: test_rabbitmq.py."""

from brokers.conformance import Conformance


class TestMosquitto(Conformance):
    contender = "mosquitto"


class TestMosquittoQoS1(Conformance):
    contender = "mosquitto-qos1"


class TestNatsMqtt(Conformance):
    contender = "nats-mqtt"
