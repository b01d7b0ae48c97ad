"""Part (e): micro-benchmarks of what runs for each delivery, each event or each fold, with pytest-benchmark."""
