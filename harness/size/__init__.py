"""What a load needs that does not fit on one machine, from measured costs per unit. Imported by commands."""
