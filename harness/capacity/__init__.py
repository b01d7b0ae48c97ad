"""The search for the largest load that holds an objective. Imported by commands."""
