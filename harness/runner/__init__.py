"""Does one run: starts broker, replicas, generator and Locust, breaks what the scenario breaks, and checks the run. Imported by schedule, capacity, hop and commands."""
