"""`make bench`: fanbench's cost compared with lower bounds and alternatives.

Each ratio comes from one interleaved run.
"""
