"""What kernel authors import: `from ascend_sim import kernel as asc`."""

from __future__ import annotations

from ascend_sim.isa.operands import Buffer, GlobalTensor, LocalTensor
from ascend_sim.isa.words import CoreKind, MemoryOrder, Pipe, Space
from ascend_sim.kernel.api import (
    cross_core_set_flag,
    cross_core_wait_flag,
    data_copy,
    fixpipe,
    load_data,
    mmad,
    pipe_barrier,
    set_flag,
    wait_flag,
)
from ascend_sim.kernel.build import GlobalMemory, Kernel, Parameters, block_count, build, kernel
from ascend_sim.kernel.core import Core
from ascend_sim.kernel.library import (
    by_rows,
    deal_by_cost,
    fill_columns_from,
    padded_columns,
    row_max,
    row_sum,
    spread,
    tiles,
)
from ascend_sim.kernel.program import BufferUse, Call, CoreId, Program, Stream, Template, TensorDeclaration
from ascend_sim.kernel.ring import Ring
from ascend_sim.kernel.vector import *  # noqa: F403
from ascend_sim.kernel.vector import __all__ as _vector_functions
from ascend_sim.numerics import (
    DType,
    RoundMode,
    bf16,
    fp16,
    fp32,
    int4x2,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
)

AIC = CoreKind.AIC
AIV = CoreKind.AIV

__all__ = [
    "AIC",
    "AIV",
    "Buffer",
    "BufferUse",
    "Call",
    "Core",
    "CoreId",
    "CoreKind",
    "DType",
    "GlobalMemory",
    "GlobalTensor",
    "Kernel",
    "LocalTensor",
    "MemoryOrder",
    "Parameters",
    "Pipe",
    "Program",
    "Ring",
    "RoundMode",
    "Space",
    "Stream",
    "Template",
    "TensorDeclaration",
    "bf16",
    "block_count",
    "build",
    "cross_core_set_flag",
    "cross_core_wait_flag",
    "data_copy",
    "fixpipe",
    "fp16",
    "fp32",
    "int4x2",
    "int8",
    "int16",
    "int32",
    "int64",
    "kernel",
    "load_data",
    "mmad",
    "pipe_barrier",
    "set_flag",
    "uint8",
    "uint16",
    "uint32",
    "wait_flag",
    "by_rows",
    "deal_by_cost",
    "fill_columns_from",
    "padded_columns",
    "row_max",
    "row_sum",
    "spread",
    "tiles",
    *_vector_functions,
]
