"""Part (e): micro-benchmarks of the code that runs for each delivery, each event or each fold, with pytest-benchmark."""
