"""The servers that the replica is held against, one file each, as their users would write them."""
