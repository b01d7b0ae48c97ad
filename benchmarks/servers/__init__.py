"""The servers that the replica is compared with, one file each, as their users would write them."""
