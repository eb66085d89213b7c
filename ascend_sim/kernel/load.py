"""Loading a program: a Python file with one kernel, what it imports from its folder, and the reference beside it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ascend_sim.errors import Diagnostic, ProgramError
from ascend_sim.isa.source import named, place_in
from ascend_sim.kernel.build import Kernel

Reference = Callable[[Mapping[str, NDArray[np.float64]], Any], Mapping[str, NDArray[np.float64]]]
Sources = Mapping[str, bytes]
"""The text of source files by path."""


@dataclass(frozen=True)
class LoadedProgram:
    """The kernel of a program file, and what it is checked against.

    *reference*(inputs, parameters) computes the outputs in float64 from the same inputs; None if the file
    `NAME_reference.py` does not exist beside the program. *tolerance*(parameters), if that file has it, says which
    relative error the algorithm itself may have; None where it has no more than its formats. *sources* are the files
    that the kernel was loaded from: the program first, then what it imports from its folder.
    """

    path: Path
    kernel: Kernel
    reference: Reference | None
    tolerance: Callable[[Any], float | None] | None
    sources: Sources


def load_program(path: Path, sources: Sources | None = None) -> LoadedProgram:
    """Import the program file at *path*, and what it imports from its own folder.

    With its *sources*, no file is read, nor a reference beside it. Raise a ProgramError if it cannot be imported, or
    does not hold exactly one kernel.
    """
    module, read = _import(path, sources)
    kernels = [value for value in vars(module).values() if isinstance(value, Kernel) and value.file == str(path)]
    if len(kernels) != 1:
        found = ", ".join(kernel.name for kernel in kernels) or "none"
        way_out = "move the others to files of their own" if kernels else "write 'def name(core, gm, p)' below it"
        message = f"a program file holds exactly one function decorated with @asc.kernel(...); found: {found}"
        raise ProgramError(Diagnostic(f"{message}; {way_out}", str(path), kernels[1].line if kernels else None))
    beside = path.with_name(f"{path.stem}_reference.py")
    reference = tolerance = None
    if sources is None and beside.exists():
        found_beside, _ = _import(beside)
        reference = getattr(found_beside, "reference", None)
        tolerance = getattr(found_beside, "tolerance", None)
        if not callable(reference):
            raise ProgramError(Diagnostic("the file must define reference(inputs, parameters)", str(beside)))
    return LoadedProgram(path, kernels[0], reference, tolerance, read)


def _import(path: Path, sources: Sources | None = None) -> tuple[ModuleType, Sources]:
    """The module of the file at *path*, and the sources of it and of all it imports from its folder."""
    beside = _Beside(path.parent, sources)
    try:
        source = path.read_bytes() if sources is None else sources[str(path)]
    except OSError as error:
        raise ProgramError(Diagnostic(f"cannot be read: {error.strerror}", str(path))) from None
    code = _compiled(path, source)
    name = f"ascend_sim_program_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module
    sys.meta_path.insert(0, beside)
    try:
        exec(code, module.__dict__)
    except ProgramError:
        raise
    except (Exception, SystemExit) as error:
        missing = "; a program can import what is installed and what lies beside it"
        ending = missing if isinstance(error, ModuleNotFoundError) else ""
        message = f"cannot be imported: {named(error)}{ending}"
        place = place_in(str(path), error)
        at = (str(path), None) if place is None else (place.file, place.line)
        raise ProgramError(Diagnostic(message, *at)) from error
    finally:
        sys.meta_path.remove(beside)
        beside.forget()
    return module, {str(path): source, **beside.read}


def _compiled(path: Path, source: bytes) -> Any:
    try:
        return compile(source, str(path), "exec")
    except SyntaxError as error:
        # Python counts lines and columns from 1, and says 0 or -1 where it knows none.
        line = error.lineno or None
        column = error.offset if line and error.offset and error.offset > 0 else None
        raise ProgramError(Diagnostic(f"syntax error: {error.msg}", str(path), line, column)) from None
    except ValueError as error:
        raise ProgramError(Diagnostic(f"is not Python source: {error}", str(path))) from None


class _Beside(MetaPathFinder, Loader):
    """Imports modules from the *folder* of a program, from its files or from *sources*.

    They are read anew for every program, and no other import finds them: two folders may each have a `common.py`, and
    an edited file counts at once. What Python itself has under a name comes first.
    """

    def __init__(self, folder: Path, sources: Sources | None) -> None:
        self._folder = folder
        self._sources = sources
        self._modules: list[str] = []
        self.read: dict[str, bytes] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parts = fullname.split(".")
        if parts[0] in sys.stdlib_module_names:
            return None
        stem = self._folder.joinpath(*parts)
        for file, package in ((stem / "__init__.py", True), (stem.with_name(f"{stem.name}.py"), False)):
            source = self._source(file)
            if source is not None:
                self.read[str(file)] = source
                return importlib.util.spec_from_loader(fullname, self, origin=str(file), is_package=package)
        return None

    def _source(self, file: Path) -> bytes | None:
        if self._sources is not None:
            return self._sources.get(str(file))
        try:
            return file.read_bytes() if file.is_file() else None
        except OSError as error:
            raise ProgramError(Diagnostic(f"cannot be read: {error.strerror}", str(file))) from None

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        assert spec is not None
        assert spec.origin is not None
        self._modules.append(spec.name)
        file = Path(spec.origin)
        module.__file__ = str(file)
        if spec.submodule_search_locations is None:
            # Under a name of its own it stays known to what looks up where a class comes from. A package needs the
            # name that its modules are imported by.
            module.__name__ = f"ascend_sim_program_{spec.name}_{abs(hash(file)):x}"
            sys.modules[module.__name__] = module
        exec(_compiled(file, self.read[str(file)]), module.__dict__)

    def forget(self) -> None:
        """Leave the names of the modules to whoever imports them next."""
        for name in self._modules:
            sys.modules.pop(name, None)
