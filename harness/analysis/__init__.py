"""Conclusions from stored runs: statistics, standings, verdicts, objectives, gates. Imported by report, choose, capacity, schedule and commands; never imports runner."""
