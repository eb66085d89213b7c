"""What the programs of one kernel with different parameters have in common.

A kernel is traced core by core, and what a core does depends on the parameters that are read while one of its kind is
traced. Where these have the same values again, the streams of all cores of that kind are the same again: the vector
cores of a matrix kernel, say, do not see how deep the tiles in L0 are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import FunctionType, MethodType
from typing import Any

from pydantic import BaseModel

from ascend_sim.config import Chip, Figure
from ascend_sim.isa.words import CoreKind
from ascend_sim.kernel.program import BufferUse, CoreId, Stream

STRUCTURE = (
    "dies", "cores", "buffers", "advice", "cube.fractal_rows", "cube.fractal_bytes_k", "cube.accumulate_fractals",
    "l2.bytes", "l2.line_bytes", "l2.sector_bytes", "hbm.bytes",
    "sync.event_ids", "sync.cross_core_flag_ids", "sync.cross_core_counter_max",
    "vector.repeat_bytes", "vector.block_bytes", "vector.bank_groups", "vector.bank_bytes", "vector.max_repeats",
    "vector.max_block_stride",
)  # fmt: skip
"""Figures of a chip, and sections of figures, on which more depends than times: with another value it is another
machine or program.
"""


def structure_of(chip: Chip) -> Hashable:
    """The values of STRUCTURE: with the same ones, a kernel is traced to the same program."""
    found: list[Hashable] = []
    for key in STRUCTURE:
        here: Any = chip
        for part in key.split("."):
            here = getattr(here, part)
        members = [here] if isinstance(here, Figure) else [getattr(here, name) for name in type(here).model_fields]
        found.append(tuple(member.value for member in members))
    return tuple(found)


@dataclass
class Reads:
    """The parameters that have been read, by path, and which models they were read from."""

    values: dict[tuple[str, ...], object] = field(default_factory=dict)
    models: dict[tuple[str, ...], type] = field(default_factory=dict)

    def agree_with(self, parameters: BaseModel) -> bool:
        """Whether *parameters* have the same values wherever something was read."""
        # Models are noted on the way to the values in them, so what is looked up is there
        if any(type(_at(parameters, path)) is not model for path, model in self.models.items()):
            return False
        return all(_equal(_at(parameters, path), value) for path, value in self.values.items())


class Tracked:
    """Parameters, or a section of them, that note what is read of them; to a kernel they look like the model itself.

    What is no field is worked out by the property or method of the model, on the tracked values. Whoever asks for what
    only pydantic knows has read everything.
    """

    def __init__(self, model: BaseModel, reads: Reads, path: tuple[str, ...] = ()) -> None:
        self._tracked = model, reads, path
        self.recipe_key = "parameters", path
        reads.models[path] = type(model)

    @property
    def __class__(self) -> type:
        """The class of the model, for isinstance()."""
        return type(self._tracked[0])

    @__class__.setter
    def __class__(self, value: type) -> None:
        raise TypeError("the class of parameters cannot be changed")

    def __getattr__(self, name: str) -> Any:
        model, reads, path = self.__dict__["_tracked"]
        value: Any
        if name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                value = Tracked(value, reads, (*path, name))
            else:
                reads.values[*path, name] = value
        else:
            own = None if hasattr(BaseModel, name) else _declared(type(model), name)
            if isinstance(own, property) and own.fget is not None:
                value = own.fget(self)
            elif isinstance(own, cached_property):
                value = own.func(self)
            elif isinstance(own, FunctionType):
                value = MethodType(own, self)
            else:
                reads.values[path] = model
                return getattr(model, name)
        self.__dict__[name] = value  # found without this function from now on
        return value

    def _whole(self) -> BaseModel:
        model, reads, path = self._tracked
        reads.values[path] = model
        return model

    def __eq__(self, other: object) -> bool:
        return self._whole() == (other._whole() if type(other) is Tracked else other)

    def __hash__(self) -> int:
        return hash(self._whole())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._whole())

    def __repr__(self) -> str:
        return repr(self._whole())

    def __str__(self) -> str:
        return str(self._whole())


@dataclass(frozen=True)
class Kept:
    """The streams of all cores of a kind, how they use their memories, and the parameters that they depend on."""

    reads: Reads
    streams: Mapping[CoreId, Stream]
    uses: tuple[BufferUse, ...]


class Shared:
    """The streams of the last programs of one kernel, *most* of each kind of core and of all else they depend on."""

    def __init__(self, most: int = 12) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[CoreKind, Hashable, int], Kept] = OrderedDict()
        self._next = 0

    def find(self, kind: CoreKind, key: Hashable, parameters: BaseModel) -> Kept | None:
        """The streams of cores of *kind* with these *parameters*, if there are some; *key* is all else."""
        for place, kept in reversed(self._kept.items()):
            if place[:2] == (kind, key) and kept.reads.agree_with(parameters):
                self._kept.move_to_end(place)
                return kept
        return None

    def keep(self, kind: CoreKind, key: Hashable, kept: Kept) -> None:
        """Keep streams for programs to come."""
        self._next += 1
        self._kept[kind, key, self._next] = kept
        of_kind = [place for place in self._kept if place[0] is kind]
        for place in of_kind[: -self._most]:
            del self._kept[place]


def _declared(model: type, name: str) -> object:
    """What the class says of *name*, or one of its bases."""
    return next((vars(one)[name] for one in model.__mro__ if name in vars(one)), None)


def _at(parameters: BaseModel, path: tuple[str, ...]) -> object:
    value: object = parameters
    for name in path:
        value = getattr(value, name, None)
    return value


def _equal(one: object, other: object) -> bool:
    """Whether two values are the same to a kernel; 1 is not 1.0, nor True."""
    return type(one) is type(other) and one == other and repr(one) == repr(other)
