"""The functions a kernel calls to move data, multiply matrices and synchronise."""

from __future__ import annotations

import math
from numbers import Integral

from ascend_sim.errors import Diagnostic, KernelError
from ascend_sim.isa.cube import Fixpipe, Mmad
from ascend_sim.isa.data_movement import LoadFractals, LoadGm, StoreGm
from ascend_sim.isa.local_movement import CopyUb, LoadData
from ascend_sim.isa.operands import GlobalTensor, LocalTensor
from ascend_sim.isa.source import SourceLine, user_line
from ascend_sim.isa.sync import CrossCoreSetFlag, CrossCoreWaitFlag, PipeBarrier, SetFlag, WaitFlag
from ascend_sim.isa.words import Pipe
from ascend_sim.kernel.arguments import expect, expect_pipes
from ascend_sim.kernel.trace import current, emit


def data_copy(
    destination: LocalTensor | GlobalTensor, source: LocalTensor | GlobalTensor, *, atomic_add: bool = False
) -> None:
    """Copy GM -> L1 (to NZ fractals), GM -> UB, UB -> GM or UB -> UB; with *atomic_add*, add into GM (fp32, int32)."""
    where = user_line()
    if isinstance(destination, LocalTensor) and isinstance(source, GlobalTensor):
        _refuse_atomic(where, atomic_add)
        emit(LoadGm(where=where, destination=destination, source=source))
    elif isinstance(destination, GlobalTensor) and isinstance(source, LocalTensor):
        emit(StoreGm(where=where, destination=destination, source=source, atomic=atomic_add))
    elif isinstance(destination, LocalTensor) and isinstance(source, LocalTensor):
        _refuse_atomic(where, atomic_add)
        emit(CopyUb(where=where, destination=destination, source=source))
    else:
        kinds = [type(operand).__name__ for operand in (destination, source)]
        raise KernelError(
            Diagnostic(
                f"data_copy moves between tensors of GM, L1 and UB, not {kinds[1]} -> {kinds[0]}; go through UB "
                f"from GM to GM, and lay raw buffers out with tile(...)",
                where.file,
                where.line,
            )
        )


def _refuse_atomic(where: SourceLine, atomic_add: bool) -> None:
    if atomic_add:
        message = "data_copy: atomic_add works on GM destinations only; drop it here"
        raise KernelError(Diagnostic(message, where.file, where.line))


def load_data(destination: LocalTensor, source: LocalTensor | GlobalTensor, *, transpose: bool = False) -> None:
    """Load fractals L1 -> L0A or L0B, transposing a tile that lies the other way round.

    A source in GM must hold the fractals of a whole tile one after the other, in the order of L0.
    """
    expect("load_data: destination", destination, LocalTensor, "a tile of L0A or L0B")
    if isinstance(source, GlobalTensor):
        where = user_line()
        if transpose:
            message = "load_data: a tile is transposed on its way from L1, not from GM; store it transposed in GM"
            raise KernelError(Diagnostic(message, where.file, where.line))
        emit(LoadFractals(where=where, destination=destination, source=source))
        return
    expect("load_data: source", source, LocalTensor, "a tile of L1 (data_copy fetches it from GM)")
    emit(LoadData(where=user_line(), destination=destination, source=source, transpose=transpose))


def mmad(
    destination: LocalTensor, left: LocalTensor, right: LocalTensor, *, init: bool, last: bool = False
) -> None:
    """C = A B when *init*, else C += A B; *last* marks the final one on a tile of a unit_flag buffer."""
    for role, operand in (("destination", destination), ("left operand", left), ("right operand", right)):
        expect(f"mmad: {role}", operand, LocalTensor, "a tile, buffer.tile((rows, columns), dtype),")
    tracer = current()
    rows = tracer.chip.cube.fractal_rows.value
    output = math.ceil(destination.rows / rows) * math.ceil(destination.columns / rows)
    unit_flag = destination.buffer.unit_flag
    tracer.emit(
        Mmad(
            where=user_line(), destination=destination, left=left, right=right, init=init,
            unit_flag=unit_flag, last=last and unit_flag,
            in_flight=output >= tracer.chip.cube.accumulate_fractals.value,
        )
    )


def fixpipe(destination: GlobalTensor, source: LocalTensor, *, atomic_add: bool = False) -> None:
    """Write an L0C tile to GM row by row, converting to the destination's format, optionally adding atomically."""
    expect("fixpipe: destination", destination, GlobalTensor, "a tensor of GM")
    expect("fixpipe: source", source, LocalTensor, "a tile of L0C")
    unit_flag = source.buffer.unit_flag
    emit(Fixpipe(where=user_line(), destination=destination, source=source, atomic=atomic_add, unit_flag=unit_flag))


def set_flag(source: Pipe, destination: Pipe, event_id: int) -> None:
    """Raise an event for *destination* once all earlier work of *source* is visible."""
    expect_pipes("set_flag", source, destination)
    expect("set_flag: the event id", event_id, Integral, "a whole number")
    emit(SetFlag(where=user_line(), source=source, destination=destination, flag=event_id))


def wait_flag(source: Pipe, destination: Pipe, event_id: int) -> None:
    """Hold *destination* until *source* has raised the event, and lower it."""
    expect_pipes("wait_flag", source, destination)
    expect("wait_flag: the event id", event_id, Integral, "a whole number")
    emit(WaitFlag(where=user_line(), source=source, destination=destination, flag=event_id))


def pipe_barrier(pipe: Pipe) -> None:
    """Hold *pipe* (ALL: the whole core) until its earlier work is visible."""
    expect_pipes("pipe_barrier", pipe)
    emit(PipeBarrier(where=user_line(), target=pipe))


def cross_core_set_flag(flag_id: int, pipe: Pipe, *, mode: int = 2) -> None:
    """Tell the cores of *mode* that the earlier work of *pipe* is visible (mode 2: cube core <-> its vector cores)."""
    expect_pipes("cross_core_set_flag", pipe)
    expect("cross_core_set_flag: the flag id", flag_id, Integral, "a whole number")
    emit(CrossCoreSetFlag(where=user_line(), flag=flag_id, mode=mode, on_pipe=pipe))


def cross_core_wait_flag(flag_id: int, *, mode: int = 2) -> None:
    """Hold this core until the cores of *mode* have set the flag once more."""
    expect("cross_core_wait_flag: the flag id", flag_id, Integral, "a whole number")
    emit(CrossCoreWaitFlag(where=user_line(), flag=flag_id, mode=mode))
