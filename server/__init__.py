"""One SSE replica: the hub, its endpoints, its settings."""
