"""Fitting the figures of a chip to measurements: the other direction of validation."""
