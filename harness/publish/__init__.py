"""Bundles that a stranger can verify, and the site made of many. Imported by commands; never starts anything."""
