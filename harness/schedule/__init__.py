"""Which run comes when: shuffled rounds, repeats, and the loop that does them. Imported by capacity and commands."""
