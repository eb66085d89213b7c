"""Streams that programs share: the same as if traced anew, and shared only where nothing that counts differs."""

from __future__ import annotations

from functools import cached_property

import pytest
import tiny

from ascend_sim import kernel as asc
from ascend_sim.config import load_run
from ascend_sim.errors import KernelError
from ascend_sim.kernel import AIC, AIV, CoreKind, Parameters, Program, Space
from ascend_sim.kernel.build import Building, Kernel
from ascend_sim.kernel.load import load_program
from ascend_sim.kernel.reuse import STRUCTURE, Reads, Shared, Tracked, structure_of


class Left(Parameters):
    """One of two sections."""

    depth: int = 1


class Right(Parameters):
    """The other one."""

    width: int = 1


class Tiling(Parameters):
    """A section with derived values."""

    rows: int = 4
    columns: int = 8
    parts: tuple[int, ...] = (1, 2)

    @property
    def size(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns

    @cached_property
    def half(self) -> int:
        """Half of the rows."""
        return self.rows // 2

    def times(self, factor: int) -> int:
        """Columns times *factor*."""
        return self.columns * factor


class Model(Parameters):
    """The parameters of a test."""

    tiling: Tiling = Tiling()
    side: Left | Right = Left()
    flag: bool | int = True


def tracked(model: Model) -> tuple[Model, Reads]:
    """*model* as a kernel sees it, and what will have been read of it."""
    reads = Reads()
    return Tracked(model, reads), reads  # type: ignore[return-value]


def test_a_value_that_is_read_is_noted() -> None:
    """Values have the place from which they came, and nothing else counts."""
    model, reads = tracked(Model())

    assert model.tiling.rows == 4
    assert reads.values == {("tiling", "rows"): 4}
    assert reads.agree_with(Model(tiling=Tiling(columns=99), flag=7))
    assert not reads.agree_with(Model(tiling=Tiling(rows=5)))


def test_derived_values_note_what_they_come_from() -> None:
    """Properties and methods of a model read its fields, and are no values of their own."""
    model, reads = tracked(Model())

    assert (model.tiling.size, model.tiling.half, model.tiling.times(3)) == (32, 2, 24)
    assert reads.values == {("tiling", "rows"): 4, ("tiling", "columns"): 8}


def test_which_model_stands_in_a_place_counts() -> None:
    """A kernel that asks for the class of a section depends on it, even if it reads no value."""
    model, reads = tracked(Model())

    assert isinstance(model.side, Left)
    assert isinstance(model, Model)
    assert reads.agree_with(Model(side=Left(depth=5)))
    assert not reads.agree_with(Model(side=Right()))


def test_equal_numbers_of_other_types_are_other_values() -> None:
    """True is not 1 to a kernel that prints it or multiplies by it."""
    model, reads = tracked(Model(flag=True))

    assert model.flag is True
    assert not reads.agree_with(Model(flag=1))


@pytest.mark.parametrize(
    "whole",
    [lambda m: m.model_dump(), str, repr, hash, list, lambda m: m == Model(), lambda m: m.model_copy()],
    ids=["model_dump", "str", "repr", "hash", "iter", "eq", "model_copy"],
)
def test_who_asks_for_all_has_read_all(whole: object) -> None:
    """What cannot be followed counts as a use of every value."""
    model, reads = tracked(Model())
    found = whole(model.tiling)  # type: ignore[operator]

    assert found == whole(Tiling()) or found is False  # type: ignore[operator]
    assert not reads.agree_with(Model(tiling=Tiling(parts=(1, 3))))
    assert reads.agree_with(Model(flag=5))


def test_a_tracked_model_fails_as_the_model_does() -> None:
    """What the model does not have is not there."""
    model, _ = tracked(Model())

    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        model.tiling.nothing_of_the_kind  # type: ignore[attr-defined]  # noqa: B018


def everything(program: Program) -> object:
    """All that a program says, with templates by content."""
    streams = [
        (stream.core, [(call.template.name, call.template.instructions, call.bases) for call in stream.calls])
        for stream in program.streams
    ]
    return program.name, program.tensors, streams, sorted(program.buffers, key=str), program.flops, program.gm_bytes


@pytest.mark.parametrize(
    ("run", "variants"),
    [
        (
            "amla_small",
            [
                {}, {"tiling.c1_l0_depth": "48"}, {"tiling.kv_buffers": "2"}, {"schedule.preload": "0"},
                {"tiling.vector_rows": "8"}, {"tiling.c1_l0_depth": "48"}, {"problem.causal": "true"},
                {"tiling.task_keys": "256"}, {"problem.kv_tokens": "640"}, {"launch.blocks": "2"},
                {"schedule.split_kv": "2"}, {"problem.paged": "{tokens: 64}"},
                {"chip.cores.aiv_per_aic": "1"}, {"chip.buffers.l1_bytes": "1048576"}, {},
            ],
        ),
        ("flash_attention_small", [{}, {"tiling.keys": "64"}, {}]),
        ("gemm_small", [{}, {"tiling.l0_k": "32"}, {"schedule.split_k": "2"}, {"problem.k": "512"}, {}]),
    ],
)  # fmt: skip
def test_bundled_programs_are_the_same(run: str, variants: list[dict[str, str]]) -> None:
    """One after the other, with shared streams and without, programs are equal to the last address and line."""
    shared, kernel = Shared(), load_program(load_run(run).program_file()).kernel
    for variant in variants:
        config = load_run(run, [f"{name}={value}" for name, value in variant.items()])
        parameters = config.parameters(kernel.parameters)
        found = []
        for use in (shared, None):
            building = Building(kernel, parameters, config.chip, config.launch.blocks, shared=use)
            building.trace()
            found.append(everything(building.program()))
        assert found[0] == found[1]


def counting() -> tuple[Kernel, list[CoreKind]]:
    """A kernel of both kinds of cores, and on which it has been traced."""
    traced: list[CoreKind] = []

    def kernel(core: asc.Core, gm: asc.GlobalMemory, p: Model) -> None:
        traced.append(core.kind)

        @core.stage(AIC)
        def cube() -> None:
            tile = core.tensor("tile", Space.L1, (16 * p.tiling.rows, 16), asc.fp16)
            asc.data_copy(tile, gm.tile[0 : 16 * p.tiling.rows, 0:16])

        @core.stage(AIV)
        def vector() -> None:
            asc.data_copy(core.tensor("row", Space.UB, 8 * p.tiling.columns, asc.fp32), gm.x[0 : 8 * p.tiling.columns])

        cube() if core.is_cube else vector()

    def tensors(gm: asc.GlobalMemory, p: Model) -> None:
        gm.input("x", (65536 * (p.flag or 1),), asc.fp32)
        gm.input("tile", (256, 256), asc.fp16)

    declare = asc.kernel(cores="mix", parameters=Model, tensors=tensors, flops=lambda _: 0)
    return declare(kernel), traced


def test_a_kind_of_core_is_traced_again_if_its_parameters_differ() -> None:
    """The cube core depends on rows and the vector cores on columns; both depend on the tensors and on the chip."""
    kernel, traced = counting()
    shared, on = Shared(most=9), tiny.chip()

    def kinds(model: Model, *overrides: str, blocks: int = 1) -> set[CoreKind]:
        traced.clear()
        building = Building(kernel, model, tiny.chip(*overrides) if overrides else on, blocks, shared=shared)
        building.trace()
        assert building.program().instructions == 3 * blocks
        return set(traced)

    assert kinds(Model()) == {AIC, AIV}
    assert kinds(Model()) == set()
    assert kinds(Model(tiling=Tiling(rows=5))) == {AIC}
    assert kinds(Model(tiling=Tiling(rows=5, columns=9))) == {AIV}
    assert kinds(Model(tiling=Tiling(rows=4, columns=9))) == set()
    assert kinds(Model(flag=2)) == {AIC, AIV}  # another size of x
    assert kinds(Model(), blocks=2) == {AIC, AIV}
    assert kinds(Model(), "buffers.ub_bytes=65536") == {AIC, AIV}
    assert kinds(Model(), "l2.read_bytes_per_cycle=77.0") == set()


def test_no_more_are_kept_than_there_is_room_for() -> None:
    """The streams that have not been used for longest go first."""
    kernel, traced = counting()
    shared, on = Shared(most=2), tiny.chip()
    for rows in (1, 2, 1, 3, 1, 2):
        Building(kernel, Model(tiling=Tiling(rows=rows)), on, 1, shared=shared).trace()

    assert traced.count(AIC) == 4  # 1, 2, 3, and 2 again


def test_a_program_with_a_fault_leaves_nothing_behind() -> None:
    """Streams of a program that was refused are not taken for those of a good one."""
    kernel, _ = counting()
    shared, on = Shared(), tiny.chip("buffers.l1_bytes=4096")
    for _ in range(2):
        building = Building(kernel, Model(tiling=Tiling(rows=16)), on, 1, shared=shared)
        with pytest.raises(KernelError, match="L1 overflows"):
            building.trace()


def test_the_structure_is_made_of_figures() -> None:
    """Each key of STRUCTURE is a figure or a section of figures, and its values tell chips apart."""
    on = tiny.chip()

    assert len(structure_of(on)) == len(STRUCTURE)  # type: ignore[arg-type]
    assert structure_of(on) == structure_of(tiny.chip())
    assert structure_of(on) != structure_of(tiny.chip("cores.aic_per_die=3"))
    assert structure_of(on) == structure_of(tiny.chip("scalar.issue_cycles=3"))
