"""Message brokers: the adapters that speak to them, and the programs that can be run."""
