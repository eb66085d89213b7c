"""The operands of an instruction as a person reads them: windows of tensors by rows and columns."""

from __future__ import annotations

from bisect import bisect_right

from ascend_sim.isa.instruction import Instruction
from ascend_sim.isa.operands import GlobalTensor
from ascend_sim.kernel.program import Call, Program


class OperandText:
    """Operands of the instructions of *program*, each in the call that executes it."""

    def __init__(self, program: Program) -> None:
        self._tensors = program.tensors
        self._starts = [tensor.address for tensor in program.tensors]

    def of(self, instruction: Instruction, call: Call) -> str:
        """The operands, with global memory as slices of the declared tensor where the window is one."""
        text = instruction.operands()
        for operand in (*instruction.destinations(), *instruction.sources()):
            if isinstance(operand, GlobalTensor):
                text = text.replace(str(operand), self._window(operand, call))
        return text

    def _window(self, window: GlobalTensor, call: Call) -> str:
        base = 0 if window.parameter is None else call.bases[window.parameter]
        address = base + window.offset
        tensor = self._tensors[bisect_right(self._starts, address) - 1]
        element, rest = divmod(address - tensor.address, tensor.dtype.bytes)
        extents = tensor.shape if len(tensor.shape) == 2 else (1, *tensor.shape)
        row, column = divmod(element, extents[1])
        fits = row + window.rows <= extents[0] and column + window.columns <= extents[1]
        in_step = window.rows == 1 or window.pitch == extents[1]
        if rest or not (fits and in_step) or window.dtype.bytes != tensor.dtype.bytes:
            return f"{tensor.name}+{address - tensor.address:#x}{list(window.shape)}:{window.dtype}"
        rows = f"{row}:{row + window.rows}," if len(tensor.shape) == 2 else ""
        return f"{tensor.name}[{rows}{column}:{column + window.columns}]:{window.dtype}"
