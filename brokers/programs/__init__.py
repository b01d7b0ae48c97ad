"""Broker programs: how to find each one here, and how to run it."""
