"""One move or one vector operation, over and over on one core: what an instruction costs back to back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, Pipe, Space

CUBE_PATHS = (
    "gm_to_l1", "gm_to_l1_nz", "gm_to_l0a", "gm_to_l0b", "l1_to_l0a", "l1_to_l0b", "l0c_to_gm", "l0c_to_gm_nd",
)
COLD_PATHS = ("gm_to_l1", "gm_to_l1_nz", "gm_to_ub")
FORMATS = {
    one.name: one
    for one in (
        asc.fp16, asc.bf16, asc.fp32, asc.int4x2, asc.int8, asc.int16, asc.int32, asc.int64, asc.uint8, asc.uint16,
        asc.uint32,
    )
}

BINARY = {
    "add": asc.add, "sub": asc.sub, "mul": asc.mul, "div": asc.div, "max": asc.max, "min": asc.min,
    "and": asc.and_, "or": asc.or_, "mul_add_dst": asc.mul_add_dst, "mul_cast": asc.mul_cast,
    "add_relu": asc.add_relu, "add_relu_cast": asc.add_relu_cast,
    "sub_relu": asc.sub_relu, "sub_relu_cast": asc.sub_relu_cast,
    "fused_mul_add": asc.fused_mul_add, "fused_mul_add_relu": asc.fused_mul_add_relu,
}
SCALAR = {
    "axpy": asc.axpy, "adds": asc.adds, "muls": asc.muls, "maxs": asc.maxs, "mins": asc.mins,
    "leaky_relu": asc.leaky_relu, "shift_left": asc.shift_left, "shift_right": asc.shift_right,
}
UNARY = {
    "exp": asc.exp, "ln": asc.ln, "sqrt": asc.sqrt, "rsqrt": asc.rsqrt, "reciprocal": asc.reciprocal,
    "abs": asc.abs, "relu": asc.relu, "not": asc.not_, "copy": asc.copy,
}
BY_ROW = {
    "whole_reduce_max": asc.whole_reduce_max, "whole_reduce_min": asc.whole_reduce_min,
    "whole_reduce_sum": asc.whole_reduce_sum,
}
BY_BLOCK = {
    "block_reduce_max": asc.block_reduce_max, "block_reduce_min": asc.block_reduce_min,
    "block_reduce_sum": asc.block_reduce_sum,
}
SCALES: dict[str, float | tuple[float, ...]] = {
    "cast_deq": 0.5, "cast_deq_fp16": 0.5, "cast_deq_vector": (0.5,) * 16,
}
GATHERS = {"gather": asc.gather, "gatherb": asc.gatherb}
OTHERS = (
    "duplicate", "cast", "compare", "compare_mask", "compare_scalar", "select", "brcb", "pair_reduce_sum",
    *SCALES, *GATHERS,
)  # fmt: skip
OPERATIONS = (*BINARY, *SCALAR, *UNARY, *BY_ROW, *BY_BLOCK, *OTHERS)

Path = Literal[
    "gm_to_l1", "gm_to_l1_nz", "gm_to_l0a", "gm_to_l0b", "gm_to_ub", "ub_to_gm", "l0c_to_gm", "l0c_to_gm_nd",
    "l1_to_l0a", "l1_to_l0b", "ub_to_ub",
]
DRAINED = 256
"""Columns of a tile of L0C."""
KEYS = {"bytes": "path", "dtype": "op", "repeats": "op", "isolated": "mmad"}
"""Which of the three these keys belong to; count belongs to all."""
LINE = 512
"""Bytes of a row that is rearranged to fractals."""
Issue = Callable[[int], None]
"""Issues the instruction for the time given by the number."""
Operand = Callable[[str, tuple[int, ...] | int, asc.DType], asc.LocalTensor]


class Problem(asc.Parameters):
    """A path and the bytes of a move, or an operation, its format and its repeats of 256 B, or the shape of an mmad.

    The others are null. A *cold* move finds its data in HBM instead of L2. An mmad of [m, n, k] is issued back to back,
    or *isolated*, each after the result of the one before.

    dtype is a format, or source and destination, such as "fp16_fp32". The instruction is issued count times. What is
    for another of the three must be left at its default.
    """

    path: Path | None = None
    bytes: Annotated[int, Field(ge=1024, multiple_of=1024)] = 16384
    cold: bool = False
    op: str | None = None
    dtype: str = "fp32"
    repeats: Annotated[int, Field(ge=1, le=255)] = 1
    mmad: list[Annotated[int, Field(ge=16, multiple_of=16)]] | None = None
    isolated: bool = False
    count: Annotated[int, Field(ge=1)] = 16

    @field_validator("mmad")
    @classmethod
    def three_extents(cls, shape: list[int] | None) -> list[int] | None:
        if shape is not None and len(shape) != 3:
            raise ValueError(f"{shape} is not the shape [m, n, k] of a matrix multiplication; write three numbers")
        return shape

    @model_validator(mode="after")
    def one_of_them(self) -> Self:
        given = [name for name in ("path", "op", "mmad") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) + " are" if given else "none of path, op and mmad is"
            raise ValueError(f"{found} given; write one of the three, and null for the others")
        if self.cold and self.path not in COLD_PATHS:
            known = ", ".join(COLD_PATHS)
            raise ValueError(f"cold: only reads can miss L2; write one of {known} as path, or cold: false")
        self._refuse_idle(given[0])
        if self.op is not None and self.op not in OPERATIONS:
            raise ValueError(f"op: there is no operation '{self.op}'; write one of {', '.join(OPERATIONS)}")
        unknown = [name for name in self.dtype.split("_") if name not in FORMATS]
        if unknown or self.dtype.count("_") > 1:
            raise ValueError(
                f"dtype: '{self.dtype}' is no format; write one of {', '.join(FORMATS)}, or two as in fp16_fp32"
            )
        return self

    def _refuse_idle(self, given: str) -> None:
        """Refuse what was set for another of the three than *given*, and would have no effect."""
        defaults = type(self).model_fields
        idle = [key for key, of in KEYS.items() if of != given and getattr(self, key) != defaults[key].default]
        if idle:
            owners = " and ".join(dict.fromkeys(KEYS[key] for key in idle))
            way_out = f"leave that out, or write {given}: null"
            have = "has" if len(idle) == 1 else "have"
            raise ValueError(f"{', '.join(idle)}: {have} no effect on {given}, only on {owners}; {way_out}")


class Parameters(asc.Parameters):
    problem: Problem


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    elements = p.problem.bytes // asc.fp32.bytes
    gm.input("x", (gm.blocks * elements * (p.problem.count + 1 if p.problem.cold else 1),), asc.fp32)
    gm.output("y", (gm.blocks * elements,), asc.fp32)


# Nothing is computed, and no instruction depends on the one before, so there is nothing to wait for.
@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=lambda p: 0, auto_barrier=False)
def microbench(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """One instruction in a back-to-back loop on every block, each with data of its own."""
    problem = p.problem

    @core.stage(AIC if problem.mmad or problem.path in CUBE_PATHS else AIV)
    def loop() -> None:
        if problem.mmad is not None:
            issue = matrix(core, problem.mmad, problem.isolated)
        elif problem.path is not None:
            issue = move(core, gm, problem, problem.path)
        else:
            issue = vector(core, problem)
        issue(0)  # the first pass brings the data into L2
        for number in range(problem.count):
            issue(number + 1)

    if core.sub == 0:
        loop()


def move(core: asc.Core, gm: asc.GlobalMemory, problem: Problem, path: Path) -> Issue:
    """What issues one move of the problem's bytes along *path*."""
    elements = problem.bytes // asc.fp32.bytes
    fractals = (16, elements // 16)
    output = gm.y[core.index * elements : (core.index + 1) * elements]
    space = Space(path.rpartition("_to_")[2].partition("_")[0].upper())

    def local(space: Space, shape: tuple[int, ...] | int) -> asc.LocalTensor:
        return core.tensor(space.value.lower(), space, shape, asc.fp32)

    def part(number: int) -> asc.GlobalTensor:
        position = core.index * (problem.count + 1) + number if problem.cold else core.index
        return gm.x[position * elements : (position + 1) * elements]

    match path:
        case "gm_to_l1" | "gm_to_ub":
            target = local(space, elements)
            return lambda number: asc.data_copy(target, part(number))
        case "gm_to_l1_nz":
            rows = elements * asc.fp32.bytes // LINE
            target = local(space, (rows, elements // rows))
            return lambda number: asc.data_copy(target, part(number).reshape(rows, elements // rows))
        case "gm_to_l0a" | "gm_to_l0b":
            target = local(space, fractals)
            return lambda number: asc.load_data(target, part(number))
        case "ub_to_gm":
            source = local(Space.UB, elements)
            return lambda number: asc.data_copy(output, source)
        case "l0c_to_gm" | "l0c_to_gm_nd":
            shape = (elements // DRAINED, DRAINED)
            source = local(Space.L0C, shape)
            return lambda number: asc.fixpipe(output.reshape(*shape), source)
        case "ub_to_ub":
            target, source = (core.tensor(name, Space.UB, elements, asc.fp32) for name in ("to", "from"))
            return lambda number: asc.data_copy(target, source)
    halves = (16, elements // 8)  # one row of fractals of a format of two bytes
    left = core.tensor("l0", space, halves, asc.fp16)
    right = core.tensor("l1", Space.L1, halves, asc.fp16)
    return lambda number: asc.load_data(left, right)


def matrix(core: asc.Core, shape: list[int], isolated: bool) -> Issue:
    """What issues one matrix multiplication of fp16 tiles (m, k) x (k, n)."""
    m, n, k = shape
    left = core.tensor("left", Space.L0A, (m, k), asc.fp16)
    right = core.tensor("right", Space.L0B, (k, n), asc.fp16)
    product = core.tensor("product", Space.L0C, (m, n), asc.fp32)

    def issue(number: int) -> None:
        asc.mmad(product, left, right, init=True)
        if isolated:
            asc.pipe_barrier(Pipe.M)

    return issue


def vector(core: asc.Core, problem: Problem) -> Issue:
    """What issues one vector instruction."""
    issue = operation(core, problem)
    return lambda number: issue()


def operation(core: asc.Core, problem: Problem) -> Callable[[], None]:
    """What issues one vector instruction of the problem's repeats."""
    op, repeats = problem.op, problem.repeats
    formats = [FORMATS[name] for name in problem.dtype.split("_")]
    source, target = formats[0], formats[-1]
    lanes = 256 // max(source.bytes, target.bytes)
    n = lanes * repeats

    def ub(name: str, shape: tuple[int, ...] | int, dtype: asc.DType) -> asc.LocalTensor:
        return core.tensor(name, Space.UB, shape, dtype)

    if op in BY_ROW:
        dst, src = ub("dst", repeats, target), ub("src", (repeats, lanes), source)
        return lambda: BY_ROW[op](dst, src)
    if op == "brcb":
        dst, src = ub("dst", (8 * repeats, 32 // target.bytes), target), ub("src", 8 * repeats, source)
        return lambda: asc.brcb(dst, src)
    if op in BY_BLOCK or op == "pair_reduce_sum":
        dst, src = ub("dst", n * source.bytes // 32 if op in BY_BLOCK else n // 2, target), ub("src", n, source)
        reduce = BY_BLOCK.get(op, asc.pair_reduce_sum)
        return lambda: reduce(dst, src)
    if op in GATHERS:
        dst, src = ub("dst", n, target), ub("src", n, source)
        offsets = ub("offsets", n if op == "gather" else n * target.bytes // 32, asc.uint32)
        asc.duplicate(offsets, 0)
        asc.pipe_barrier(Pipe.V)
        return lambda: GATHERS[op](dst, src, offsets)
    return _elementwise(op, ub, n, source, target)


def _elementwise(op: str | None, ub: Operand, n: int, source: asc.DType, target: asc.DType) -> Callable[[], None]:
    """What issues one operation on *n* elements."""
    if op == "compare_mask":
        register, one, other = ub("bits", 32 // source.bytes, asc.uint8), ub("src0", n, source), ub("src1", n, source)
        return lambda: asc.compare_mask(register, one, other, "LT")
    if op in ("compare", "compare_scalar"):
        bits, left = ub("bits", n // 8, asc.uint8), ub("src0", n, source)
        if op == "compare_scalar":
            return lambda: asc.compare_scalar(bits, left, 1, "LT")
        right = ub("src1", n, source)
        return lambda: asc.compare(bits, left, right, "LT")
    if op in SCALES:
        dst, src = ub("dst", n if target is asc.fp16 else 2 * n, target), ub("src", n, source)
        return lambda: asc.cast_deq(dst, src, SCALES[op])
    dst = ub("dst", n // target.numbers, target)
    if op == "duplicate":
        return lambda: asc.duplicate(dst, 1)
    src = ub("src0", n // source.numbers, source)
    if op in SCALAR:
        return lambda: SCALAR[op](dst, src, 1)
    if op in UNARY:
        return lambda: UNARY[op](dst, src)
    if op == "cast":
        return lambda: asc.cast(dst, src, asc.RoundMode.CAST_RINT)
    other = ub("src1", n, source)
    if op == "select":
        mask = ub("mask", n // 8, asc.uint8)
        return lambda: asc.select(dst, mask, src, other)
    assert op is not None
    return lambda: BINARY[op](dst, src, other)
