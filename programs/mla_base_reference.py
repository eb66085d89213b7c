"""What the kernel beside is checked against."""

from attention.mla_reference import reference

__all__ = ["reference"]
