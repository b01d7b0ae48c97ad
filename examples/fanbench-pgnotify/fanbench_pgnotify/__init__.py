"""PostgreSQL's LISTEN and NOTIFY for fanbench: `adapter` is what the entry point names."""

from fanbench_pgnotify.adapter import adapter

__all__ = ["adapter"]
