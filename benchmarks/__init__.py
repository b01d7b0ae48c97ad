"""`make bench`: the cost of fanbench compared with lower bounds and alternatives; each ratio is measured in turn in one run."""
