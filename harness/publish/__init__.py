"""Bundles that a stranger can verify, and a site over many of them. Imported by commands; never starts anything."""
