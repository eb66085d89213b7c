"""Commands of the command line: each parses and prints, and nothing else."""
