"""From the base of an exploration to the run of one of its points, and the key under which its result is kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ascend_sim.config import Chip, RunConfig, rerun, varied
from ascend_sim.errors import UserError
from ascend_sim.explore.point import Assignment, Base, override
from ascend_sim.kernel.load import LoadedProgram, load_program
from ascend_sim.kernel.reuse import Shared

_ROOMS = ("numerics", "config", "isa", "kernel", "engine", "explore/evaluation.py", "explore/bound.py")
"""What a result depends on, of this package."""

_TEXTS = ("name", "description", "abstract", "extends", "sources", "source", "standing", "note")
"""Keys of a chip that say where its figures come from, and not what they are."""


def base_of(run: RunConfig) -> Base:
    """What all variants of *run* share. Raise a ProgramError if its program cannot be read."""
    path = run.program_file()
    sources = load_program(path).sources
    return Base(json.dumps(run.resolved(), sort_keys=True), str(run.path), str(path), tuple(sources.items()))


@dataclass(frozen=True)
class Opened:
    """A base, opened: its run, its program, and the streams that its points share."""

    run: RunConfig
    loaded: LoadedProgram
    shared: Shared = field(default_factory=Shared)

    def run_of(self, assignment: Assignment) -> RunConfig:
        """The run of a point. Raise a ConfigError if the configuration has no such key or takes no such value."""
        return varied(self.run, [override(name, value) for name, value in assignment.items()])


@lru_cache(maxsize=4)
def opened(base: Base) -> Opened:
    """Open *base*: read its configuration and load its program, once in each process."""
    run = rerun({**json.loads(base.config), "program_file": base.program}, Path(base.path))
    return Opened(run, load_program(Path(base.program), dict(base.sources)))


def key_of(base: Base, assignment: Assignment) -> str:
    """A digest of everything that determines the result of a point: equal for equal points of all explorations.

    It covers the parameters of the kernel with their defaults, the figures of the chip, the blocks that are launched,
    the source of the program and the code of the simulator. A point that the configuration refuses has a key too.
    """
    at = opened(base)
    content: dict[str, Any] = {"program": base.digest, "simulator": simulator()}
    try:
        run = at.run_of(assignment)
        content |= {"launch": run.launch.model_dump(mode="json"), "chip": figures_of(run.chip)}
        content["parameters"] = run.parameters(at.loaded.kernel.parameters).model_dump(mode="json")
    except UserError:
        content |= {"base": base.config, "refused": dict(assignment)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_last_figures: tuple[Chip, Any] | None = None
"""Most points of a search have the chip of the one before, and the very same object."""


def figures_of(chip: Chip) -> Any:
    """The figures of *chip* as plain data, without what is said of their sources."""
    global _last_figures
    if _last_figures is None or _last_figures[0] is not chip:
        _last_figures = chip, _figures(chip.model_dump(mode="json"))
    return _last_figures[1]


def _figures(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    if "value" in data:
        return data["value"]
    return {key: _figures(value) for key, value in data.items() if key not in _TEXTS}


@cache
def simulator() -> str:
    """Name of this version of the simulator: the package's, and a digest of the code that results depend on."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        place = package / room
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(file.name.encode() + file.read_bytes())
    try:
        name = version("ascend-sim")
    except PackageNotFoundError:
        name = "source"
    return f"{name}+{digest.hexdigest()[:12]}"
