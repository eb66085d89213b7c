"""Packages that explorations need and plain runs do not."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ascend_sim.errors import ArgumentError


def package(name: str) -> Any:
    """The module *name*, such as "scipy.stats"; raise an ArgumentError that says how to install it if it is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        raise ArgumentError(f"needs the package {missing}: pip install 'ascend-sim[explore]'") from None
