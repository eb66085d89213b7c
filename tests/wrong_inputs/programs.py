"""Program files that cannot be loaded, fail, or refuse their parameters."""

from __future__ import annotations

from wrong_inputs.case import HEAD, KERNEL, Case, kernel, program

COPY = KERNEL.format(
    cores="vector",
    body="""\
tile = core.tensor("tile", Space.UB, 4096, fp32)
    asc.data_copy(tile, gm.v)
    asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
    asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)
    asc.data_copy(gm.z, tile)""",
)
"""z = v, with all its flags."""

COPY_TENSORS = HEAD.replace('    gm.output("y", (128, 128), fp32)\n', "")
VALIDATED = HEAD.replace(
    "    pass\n",
    """\
    depth: int = 3

    @pydantic.model_validator(mode="after")
    def _even(self):
        %s
""",
).replace("from ascend_sim import", "import pydantic\n\nfrom ascend_sim import")


def declared(name: str, old: str, new: str, *says: str, code: int = 2) -> Case:
    """A program in whose declarations *new* stands for *old*."""
    text = HEAD + COPY
    assert old in text
    return program(name, text.replace(old, new, 1), *says, code=code)


def reference(name: str, text: str, *says: str, code: int = 2) -> Case:
    """A run with data whose reference is *text*."""
    return program(
        name, COPY_TENSORS + COPY, *says, code=code, command="run run.yaml --data", kernel_reference=text
    )


FILES = (
    program("a syntax error", "def tensors(gm, p)\n    pass\n", "kernel.py:1:19: syntax error: expected ':'"),
    program(
        "a file that is not Python",
        "\0",
        "kernel.py: syntax error: source code string cannot contain null bytes",
    ),
    program(
        "a package that is not installed",
        "import no_such_package  # here\n",
        "here: cannot be imported: ModuleNotFoundError: No module named 'no_such_package'; a program can "
        "import what is installed and what lies beside it",
    ),
    program(
        "a name that the library has not",
        "from ascend_sim import kernle as asc  # here\n",
        "here: cannot be imported: ImportError: cannot import name 'kernle' from 'ascend_sim' ...",
    ),
    program(
        "a file that ends the process",
        "raise SystemExit(0)  # here\n",
        "here: cannot be imported: SystemExit: 0",
    ),
    program(
        "no kernel",
        HEAD,
        "kernel.py: a program file holds exactly one function decorated with @asc.kernel(...); found: none; "
        "write 'def name(core, gm, p)' below it",
    ),
    program(
        "two kernels",
        HEAD
        + COPY
        + COPY.replace("flops=lambda p: 0)", "flops=lambda p: 0)  # here").replace("wrong", "second"),
        "here: a program file holds exactly one function decorated with @asc.kernel(...); found: wrong, "
        "second; move the others to files of their own",
    ),
)

DECLARATIONS = (
    declared(
        "a kind of cores that does not exist",
        'cores="vector"',
        'cores="both"',
        "kernel.py:18: kernel 'wrong': cores='both' is none of 'mix', 'cube', 'vector'; write one of these",
    ),
    declared(
        "parameters that are no class of parameters",
        "class Parameters(asc.Parameters)",
        "class Parameters",
        "kernel.py:18: kernel 'wrong': parameters=the class Parameters is not a class of parameters; write "
        "a 'class NAME(asc.Parameters)' and hand over NAME",
    ),
    declared(
        "a kernel with too few arguments",
        "def wrong(core, gm, p)",
        "def wrong(core, gm)",
        "kernel.py:18: kernel 'wrong': the kernel is called with (core, gm, parameters), but its parameters "
        "do not fit: too many positional arguments; declare it with these",
    ),
    declared(
        "a number for flops",
        "flops=lambda p: 0",
        "flops=64",
        "kernel.py:18: kernel 'wrong': flops is called with (parameters), but 64 is no function; write "
        "'lambda parameters: ...'",
    ),
    declared(
        "flops that fail",
        "flops=lambda p: 0",
        "flops=lambda p: p.m",
        "kernel.py:18: kernel 'wrong' failed with AttributeError: 'Parameters' object has no attribute 'm'",
    ),
    declared(
        "flops that are no number",
        "flops=lambda p: 0",
        "flops=lambda p: 0.5",
        "kernel.py:18: kernel 'wrong': flops returned 0.5; return a whole number of operations",
    ),
    declared(
        "a tensor of three dimensions",
        '"v", (4096,), fp32)',
        '"v", (2, 4, 8), fp32)  # here',
        "here: tensor 'v': shape [2, 4, 8] is not one or two positive whole numbers; write (rows, columns) "
        "or (elements,), and // to divide",
        code=3,
    ),
    declared(
        "a tensor with half an element",
        '"v", (4096,), fp32)',
        '"v", (4096 / 2,), fp32)  # here',
        "here: tensor 'v': shape [2048.0] is not one or two positive whole numbers; write ... // to divide",
        code=3,
    ),
    declared(
        "a format in quotes",
        '"v", (4096,), fp32)',
        '"v", (4096,), "fp32")  # here',
        "here: tensor 'v': 'fp32' is not a number format; write asc.fp32, for example",
        code=3,
    ),
    declared(
        "a tensor declared twice",
        '"v", (4096,), fp32)',
        '"x", (4096,), fp32)  # here',
        "here: tensor 'x' is declared twice; give each tensor a name of its own",
        code=3,
    ),
)

PARAMETERS = (
    program(
        "parameters that the program refuses",
        VALIDATED % 'raise ValueError(f"depth = {self.depth} is odd; write an even number")' + COPY,
        "run.yaml:1:1: depth = 3 is odd; write an even number",
    ),
    program(
        "a validator that fails",
        VALIDATED % "return self.depth // 0  # here" + COPY,
        "here: a validator of the parameters failed with ZeroDivisionError: integer division or modulo by "
        "zero; raise a ValueError there to refuse a value",
    ),
)

FAILURES = (
    kernel(
        "a division by 0",
        "gm.v[: 64 // core.index]  # here",
        "here: kernel 'wrong' failed with ZeroDivisionError: integer division or modulo by zero",
        code=2,
    ),
    kernel(
        "an assertion without words",
        "assert core.index  # here",
        "here: kernel 'wrong' failed with AssertionError",
        code=2,
    ),
    kernel(
        "a kernel that ends the process",
        "raise SystemExit(0)  # here",
        "here: kernel 'wrong' failed with SystemExit: 0",
        code=2,
    ),
    kernel(
        "a tensor that was not declared",
        "gm.w  # here",
        "here: kernel 'wrong' failed with AttributeError: no tensor 'w' was declared (declared: x, v, y, z)",
        code=2,
    ),
    kernel(
        "an argument left out",
        "asc.set_flag(Pipe.MTE2, Pipe.V)  # here",
        "here: kernel 'wrong' failed with TypeError: set_flag() missing 1 required positional argument: "
        "'event_id'",
        code=2,
    ),
)

REFERENCES = (
    reference(
        "a reference file without a reference",
        "",
        "kernel_reference.py: the file must define reference(inputs, parameters)",
    ),
    reference(
        "a reference that fails",
        "def reference(inputs, p):\n    return {'z': inputs['w']}  # here\n",
        "here: reference() failed with KeyError: 'w'",
    ),
    reference(
        "a reference that ends the process",
        "def reference(inputs, p):\n    raise SystemExit(0)  # here\n",
        "here: reference() failed with SystemExit: 0",
    ),
    reference(
        "a reference that returns nothing",
        "def reference(inputs, p):\n    pass\n",
        "kernel_reference.py: reference() must return a dict of arrays by output name, but it returned a "
        "value of type NoneType",
    ),
    reference(
        "a reference that leaves an output out",
        "def reference(inputs, p):\n    return {'y': inputs['v']}\n",
        "kernel_reference.py: reference() must return finite values for 'z' in shape [4096], but it "
        "returned nothing",
    ),
    reference(
        "a reference of another shape",
        "def reference(inputs, p):\n    return {'z': inputs['v'][:3]}\n",
        "kernel_reference.py: reference() must return finite values for 'z' in shape [4096], but it "
        "returned shape [3]",
    ),
    reference(
        "a reference of complex numbers",
        "def reference(inputs, p):\n    return {'z': inputs['v'] * 1j}\n",
        "kernel_reference.py: reference() must return finite values for 'z' in shape [4096], but it "
        "returned no array of real numbers",
    ),
    reference(
        "another result than the reference's",
        "def reference(inputs, p):\n    return {'z': 2 * inputs['v']}\n",
        "kernel.py: wrong numbers: output 'z' differs from kernel_reference.py by a relative error of 0.5; "
        "the tolerance is 0.002; ...",
        code=3,
    ),
)

CASES = (*FILES, *DECLARATIONS, *PARAMETERS, *FAILURES, *REFERENCES)
