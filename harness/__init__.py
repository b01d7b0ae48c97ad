"""The comparison harness: starts programs, measures, stores, judges and reports; the command line `fanbench`.

Rooms, lowest first; each docstring says who may import it: `results`, `analysis`, `runner`, `schedule`, `capacity`,
`choose`, `report`, `hop`, `commands`.
"""
