"""One move or one vector operation, over and over on one core: what an instruction costs back to back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ascend_sim import kernel as asc
from ascend_sim.kernel import AIC, AIV, Space

CUBE_PATHS = ("gm_to_l1", "l1_to_l0a", "l1_to_l0b", "l0c_to_gm")
FORMATS = {
    one.name: one
    for one in (asc.fp16, asc.bf16, asc.fp32, asc.int8, asc.int16, asc.int32, asc.uint8, asc.uint16, asc.uint32)
}

BINARY = {
    "add": asc.add, "sub": asc.sub, "mul": asc.mul, "div": asc.div, "max": asc.max, "min": asc.min,
    "and": asc.and_, "or": asc.or_, "mul_add_dst": asc.mul_add_dst,
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
OTHERS = ("duplicate", "cast", "compare", "compare_scalar", "select", "brcb", "pair_reduce_sum")
OPERATIONS = (*BINARY, *SCALAR, *UNARY, *BY_ROW, *BY_BLOCK, *OTHERS)

Path = Literal["gm_to_l1", "gm_to_ub", "ub_to_gm", "l0c_to_gm", "l1_to_l0a", "l1_to_l0b", "ub_to_ub"]
Operand = Callable[[str, tuple[int, ...] | int, asc.DType], asc.LocalTensor]


class Problem(asc.Parameters):
    """Either a path and the bytes of a move, or an operation, its format and its repeats of 256 B; the rest is null.

    dtype is a format, or source and destination, such as "fp16_fp32". The instruction is issued count times.
    """

    path: Path | None = None
    bytes: Annotated[int, Field(ge=1024, multiple_of=1024)] = 16384
    op: str | None = None
    dtype: str = "fp32"
    repeats: Annotated[int, Field(ge=1, le=255)] = 1
    count: Annotated[int, Field(ge=1)] = 16

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        if (self.path is None) == (self.op is None):
            found = "neither" if self.op is None else "both"
            raise ValueError(f"path and op: {found} is given; write one of them, and null for the other")
        if self.op is not None and self.op not in OPERATIONS:
            raise ValueError(f"op: there is no operation '{self.op}'; write one of {', '.join(OPERATIONS)}")
        unknown = [name for name in self.dtype.split("_") if name not in FORMATS]
        if unknown or self.dtype.count("_") > 1:
            raise ValueError(
                f"dtype: '{self.dtype}' is no format; write one of {', '.join(FORMATS)}, or two as in fp16_fp32"
            )
        return self


class Parameters(asc.Parameters):
    problem: Problem


def tensors(gm: asc.GlobalMemory, p: Parameters) -> None:
    elements = p.problem.bytes // asc.fp32.bytes
    gm.input("x", (elements,), asc.fp32)
    gm.output("y", (elements,), asc.fp32)


# Nothing is computed, and no instruction depends on the one before, so there is nothing to wait for.
@asc.kernel(cores="mix", parameters=Parameters, tensors=tensors, flops=lambda p: 0, auto_barrier=False)
def microbench(core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
    """One move or one vector operation in a back-to-back loop on one core, with its data in L2."""
    problem = p.problem

    @core.stage(AIC if problem.path in CUBE_PATHS else AIV)
    def loop() -> None:
        issue = operation(core, problem) if problem.path is None else move(core, gm, problem)
        issue()  # the first pass brings the data into L2
        for _ in range(problem.count):
            issue()

    if core.index == 0 and core.sub == 0:
        loop()


def move(core: asc.Core, gm: asc.GlobalMemory, problem: Problem) -> Callable[[], None]:
    """What issues one move of the problem's bytes along its path."""
    elements = problem.bytes // asc.fp32.bytes
    fractals = (16, elements // 16)

    def local(space: Space, shape: tuple[int, ...] | int) -> asc.LocalTensor:
        return core.tensor(space.value.lower(), space, shape, asc.fp32)

    if problem.path in ("gm_to_l1", "gm_to_ub"):
        target = local(Space.L1 if problem.path == "gm_to_l1" else Space.UB, elements)
        return lambda: asc.data_copy(target, gm.x)
    if problem.path == "ub_to_gm":
        source = local(Space.UB, elements)
        return lambda: asc.data_copy(gm.y, source)
    if problem.path == "l0c_to_gm":
        source = local(Space.L0C, fractals)
        return lambda: asc.fixpipe(gm.y.reshape(*fractals), source)
    if problem.path == "ub_to_ub":
        target, source = (core.tensor(name, Space.UB, elements, asc.fp32) for name in ("to", "from"))
        return lambda: asc.copy(target, source)
    target = local(Space.L0A if problem.path == "l1_to_l0a" else Space.L0B, fractals)
    source = local(Space.L1, fractals)
    return lambda: asc.load_data(target, source)


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
    return _elementwise(op, ub, n, source, target)


def _elementwise(op: str | None, ub: Operand, n: int, source: asc.DType, target: asc.DType) -> Callable[[], None]:
    """What issues one operation on *n* elements."""
    if op in ("compare", "compare_scalar"):
        bits, left = ub("bits", n // 8, asc.uint8), ub("src0", n, source)
        if op == "compare_scalar":
            return lambda: asc.compare_scalar(bits, left, 1, "LT")
        right = ub("src1", n, source)
        return lambda: asc.compare(bits, left, right, "LT")
    dst = ub("dst", n, target)
    if op == "duplicate":
        return lambda: asc.duplicate(dst, 1)
    src = ub("src0", n, source)
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
