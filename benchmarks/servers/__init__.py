"""The servers to compare the replica with, one in each file, as their users would write them."""
