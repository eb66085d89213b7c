"""Published measurements beside what the simulator says."""
