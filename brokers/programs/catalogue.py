"""Every program that fanbench can run."""

from __future__ import annotations

from brokers.programs.api import Program
from brokers.programs.mosquitto import mosquitto
from brokers.programs.nats import nats
from brokers.programs.rabbitmq import rabbitmq
from brokers.programs.valkey import redis, valkey

PROGRAMS: dict[str, Program] = {program.name: program for program in (valkey, redis, rabbitmq, mosquitto, nats)}
