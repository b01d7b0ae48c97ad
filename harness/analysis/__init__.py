"""What stored runs allow us to say: statistics, standings, verdicts, objectives, gates. Imported by report, choose, capacity, schedule and commands; never imports runner."""
