"""`make bench`: the cost of fanbench compared with lower bounds and alternatives; the two sides of each ratio are measured in turn in one run."""
