"""Does one run: starts broker, replicas, generator and Locust, applies the scenario's faults, and checks the run.

Imported by schedule, capacity, hop and commands.
"""
