"""Chips, runs and overrides: strict models read from YAML, with errors at file, line and column."""

from __future__ import annotations

from ascend_sim.config.chip import Chip, DrainPath, GmPath, GmReadPath, MovePath, VectorRow
from ascend_sim.config.chip_file import load_chip
from ascend_sim.config.figure import Figure, unit_of
from ascend_sim.config.locate import (
    bundled,
    find_chip,
    find_exploration,
    find_program,
    find_run,
    find_study,
    names,
)
from ascend_sim.config.overrides import Override, parse_override
from ascend_sim.config.run import DataConfig, LaunchConfig, RunConfig, load_run, rerun, varied
from ascend_sim.config.yaml_document import Document

__all__ = [
    "Chip",
    "DataConfig",
    "Document",
    "DrainPath",
    "Figure",
    "GmPath",
    "GmReadPath",
    "LaunchConfig",
    "MovePath",
    "Override",
    "RunConfig",
    "VectorRow",
    "bundled",
    "find_chip",
    "find_exploration",
    "find_program",
    "find_run",
    "find_study",
    "load_chip",
    "load_run",
    "names",
    "parse_override",
    "rerun",
    "unit_of",
    "varied",
]
