"""The order of runs: shuffled rounds, repeats, and the loop that runs them. Imported by capacity and commands."""
