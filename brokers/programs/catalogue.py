"""Every program that fanbench can run, installed here or in a container, and every cluster of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from brokers.programs.api import Program
from brokers.programs.cluster_program import ClusterProgram
from brokers.programs.images import (
    mosquitto_image,
    nats_image,
    postgres_image,
    rabbitmq_image,
    redis_image,
    valkey_image,
)
from brokers.programs.mosquitto import mosquitto
from brokers.programs.nats import nats
from brokers.programs.nats_cluster import nats_cluster
from brokers.programs.nchan import nchan
from brokers.programs.postgres import postgres
from brokers.programs.rabbitmq import rabbitmq
from brokers.programs.rabbitmq_cluster import rabbitmq_cluster
from brokers.programs.redis_cluster import valkey_cluster
from brokers.programs.redis_sentinel import redis_sentinel, valkey_sentinel
from brokers.programs.script_hub import better_sse, durable_streams, fastapi, pushpin, sse_starlette
from brokers.programs.settings import Setting
from brokers.programs.valkey import redis, valkey

Launch = Literal["auto", "local", "docker"]
"""How programs are run: `auto` and `local` take what is installed here, `docker` the official image.

`auto` never uses Docker on its own, because that would compare local programs with others behind a port mapping; if a
program is missing, it says so.
"""

PROGRAMS: dict[str, Program] = {
    program.name: program for program in (valkey, redis, rabbitmq, mosquitto, nats, postgres)
}
CLUSTERS: dict[str, ClusterProgram] = {
    cluster.name: cluster
    for cluster in (valkey_sentinel, redis_sentinel, valkey_cluster, nats_cluster, rabbitmq_cluster)
}
SERVICES: dict[str, Program] = {
    service.name: service for service in (nchan, sse_starlette, fastapi, better_sse, durable_streams, pushpin)
}
"""Services that stream events themselves, which endpoint files name. They have no image."""
IMAGES: dict[str, Program] = {
    image.name: image
    for image in (valkey_image, redis_image, rabbitmq_image, mosquitto_image, nats_image, postgres_image)
}


SETTINGS: dict[str, tuple[Setting, ...]] = {name: cluster.settings for name, cluster in CLUSTERS.items()}
SETTINGS[postgres.name] = postgres.settings
"""The settings by program or cluster; most programs have none."""


def program_of(name: str, launch: Launch, settings: Mapping[str, int] | None = None) -> Program:
    """The program of that name, launched as requested.

    Clusters, which have no image, and PostgreSQL get their settings.
    """
    if name in CLUSTERS:
        return CLUSTERS[name].with_values(settings or {})
    if name in SERVICES:
        return SERVICES[name]
    if launch == "docker":
        return IMAGES[name]
    return postgres.with_values(settings) if name == postgres.name and settings else PROGRAMS[name]
