"""The MQTT contenders keep every promise of their adapters, on their real programs.

For RabbitMQ see test_rabbitmq.py.
"""

from brokers.conformance import Conformance


class TestMosquitto(Conformance):
    contender = "mosquitto"


class TestMosquittoQoS1(Conformance):
    contender = "mosquitto-qos1"


class TestNatsMqtt(Conformance):
    contender = "nats-mqtt"
