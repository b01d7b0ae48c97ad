"""What a load takes that no machine here holds, by measured costs per unit. Imported by commands."""
