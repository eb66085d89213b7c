"""What can be learnt from a schedule: statistics, critical path, bound, accuracy."""
