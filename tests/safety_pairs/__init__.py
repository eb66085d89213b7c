"""Kernels in pairs: a right one, and a twin with one deliberate mistake."""
