"""The operands of an instruction as a person reads them: windows of tensors by rows and columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ascend_sim.kernel.program import TensorDeclaration
from ascend_sim.observe.facts import Operands, Window


class OperandText:
    """Operands of instructions that use *tensors* (ascending by address), each in the call that executes it."""

    def __init__(self, tensors: Sequence[TensorDeclaration]) -> None:
        self._tensors = tensors
        self._starts = [tensor.address for tensor in tensors]

    def of(self, operands: Operands, bases: Sequence[int]) -> str:
        """The operands, with global memory as slices of the declared tensor where the window is one."""
        return operands.text.format(*(self._window(one, bases) for one in operands.windows))

    def _window(self, window: Window, bases: Sequence[int]) -> str:
        base = 0 if window.parameter is None else bases[window.parameter]
        address = base + window.offset
        tensor = self._tensors[bisect_right(self._starts, address) - 1]
        element, rest = divmod(address - tensor.address, tensor.dtype.bytes)
        extents = tensor.shape if len(tensor.shape) == 2 else (1, *tensor.shape)
        row, column = divmod(element, extents[1])
        rows, columns = (1, *window.shape)[-2:]
        fits = row + rows <= extents[0] and column + columns <= extents[1]
        in_step = rows == 1 or window.pitch == extents[1]
        if rest or not (fits and in_step) or window.element_bytes != tensor.dtype.bytes:
            return f"{tensor.name}+{address - tensor.address:#x}{list(window.shape)}:{window.dtype}"
        chosen = f"{row}:{row + rows}," if len(tensor.shape) == 2 else ""
        return f"{tensor.name}[{chosen}{column}:{column + columns}]:{window.dtype}"
