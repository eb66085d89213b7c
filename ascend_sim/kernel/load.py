"""Loading a program: a Python file with one kernel, and the reference beside it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.errors import Diagnostic, ProgramError
from ascend_sim.isa.source import line_in, named
from ascend_sim.kernel.build import Kernel

Reference = Callable[[Mapping[str, NDArray[np.float64]], Any], Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class LoadedProgram:
    """The kernel of a program file, and what it is checked against.

    *reference*(inputs, parameters) computes the outputs in float64 from the same inputs; None if the file
    `NAME_reference.py` does not exist beside the program.
    """

    path: Path
    kernel: Kernel
    reference: Reference | None


def load_program(path: Path, source: bytes | None = None) -> LoadedProgram:
    """Import the program file at *path*.

    With its *source*, the file itself is not read, nor a reference beside it. Raise a ProgramError if it cannot be
    imported, or does not hold exactly one kernel.
    """
    module = _import(path, source)
    kernels = [value for value in vars(module).values() if isinstance(value, Kernel) and value.file == str(path)]
    if len(kernels) != 1:
        found = ", ".join(kernel.name for kernel in kernels) or "none"
        way_out = "move the others to files of their own" if kernels else "write 'def name(core, gm, p)' below it"
        message = f"a program file holds exactly one function decorated with @asc.kernel(...); found: {found}"
        raise ProgramError(Diagnostic(f"{message}; {way_out}", str(path), kernels[1].line if kernels else None))
    beside = path.with_name(f"{path.stem}_reference.py")
    reference = None
    if source is None and beside.exists():
        reference = getattr(_import(beside), "reference", None)
        if not callable(reference):
            raise ProgramError(Diagnostic("the file must define reference(inputs, parameters)", str(beside)))
    return LoadedProgram(path, kernels[0], reference)


def _import(path: Path, source: bytes | None = None) -> ModuleType:
    name = f"ascend_sim_program_{path.stem}_{abs(hash(path)):x}"
    try:
        source = path.read_bytes() if source is None else source
        code = compile(source, str(path), "exec")
    except OSError as error:
        raise ProgramError(Diagnostic(f"cannot be read: {error.strerror}", str(path))) from None
    except SyntaxError as error:
        # Python counts lines and columns from 1, and says 0 or -1 where it knows none.
        line = error.lineno or None
        column = error.offset if line and error.offset and error.offset > 0 else None
        raise ProgramError(Diagnostic(f"syntax error: {error.msg}", str(path), line, column)) from None
    except ValueError as error:
        raise ProgramError(Diagnostic(f"is not Python source: {error}", str(path))) from None
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except ProgramError:
        raise
    except (Exception, SystemExit) as error:
        missing = "; a program can import what is installed, but no file beside it"
        ending = missing if isinstance(error, ModuleNotFoundError) else ""
        message = f"cannot be imported: {named(error)}{ending}"
        raise ProgramError(Diagnostic(message, str(path), line_in(str(path), error))) from error
    return module
