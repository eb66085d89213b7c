"""Searching for the best tiling, schedule or chip: a space of points, ways through it, and what they have found."""
