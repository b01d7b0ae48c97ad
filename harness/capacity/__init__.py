"""The search for the largest load that meets an objective. Imported by commands."""
