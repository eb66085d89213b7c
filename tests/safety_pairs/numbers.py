"""Numbers that break: overflows, births of NaN, additions to exponents, formats, and results that are simply wrong."""

from __future__ import annotations

from safety_pairs.case import CUBE, Pair

VECTOR = "gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)"
HALF = "gm.input('v', (4096,), fp16)\ngm.output('z', (4096,), fp16)"
LOAD = """
t = core.tensor("t", Space.UB, 4096, fp32)
u = core.tensor("u", Space.UB, 4096, fp32)
asc.data_copy(t, gm.v)
order(Pipe.MTE2, Pipe.V)
"""
STORE = """
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, t)
"""
RESCALE = """
exponents = core.tensor("exponents", Space.UB, 4096, int32)
asc.duplicate(exponents, step * (1 << 23))
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, t)
asc.pipe_barrier(Pipe.MTE3)
asc.data_copy(gm.z.reinterpret(int32), exponents, atomic_add=True)  # here
"""
WRONG = "kernel.py:...: wrong numbers: output 'z' holds ... values that are NaN or infinite; ... [wrong-numbers]"

OVERFLOWS = (
    Pair(
        "a cast to fp16 that overflows",
        "overflow",
        LOAD
        + """
half = core.tensor("half", Space.UB, 4096, fp16)
- asc.muls(t, t, 1000.0)
+ asc.muls(t, t, 100000.0)
asc.cast(half, t, RoundMode.CAST_RINT)  # here
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, half)
""",
        (
            "here: cast makes infinity in UB 'half' (fp16) out of finite numbers; scale before it (subtract the "
            "maximum before an exponential, keep 0 out of quotients and logarithms), or keep the value in fp32; it "
            "reaches output 'z' (first on ...) [overflow]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors="gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp16)",
        outputs="{'z': 1000 * inputs['v']}",
        data=True,
    ),
    Pair(
        "a product in fp16 that overflows",
        "overflow",
        """
        t = core.tensor("t", Space.UB, 4096, fp16)
        asc.data_copy(t, gm.v)
        order(Pipe.MTE2, Pipe.V)
        - asc.muls(t, t, 1000.0)
        + asc.muls(t, t, 60000.0)  # here
        asc.muls(t, t, 0.001)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: muls makes infinity in UB 't' (fp16) out of finite numbers; scale before it (subtract the "
            "maximum before an exponential, keep 0 out of quotients and logarithms), or keep the value in fp32; it "
            "reaches output 'z' (first on ...) [overflow]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=HALF,
        outputs="{'z': inputs['v']}",
        data=True,
    ),
    Pair(
        "an exponential of large numbers",
        "overflow",
        LOAD
        + """
asc.muls(t, t, 50.0)
- asc.mins(t, t, 0.0)
asc.exp(t, t)  # here
"""
        + STORE,
        (
            "here: exp makes infinity in UB 't' (fp32) out of finite numbers; scale before it (subtract the "
            "maximum before an exponential, keep 0 out of quotients and logarithms), or keep the value in fp32; it "
            "reaches output 'z' (first on ...) [overflow]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': np.exp(np.minimum(50 * inputs['v'], 0))}",
        data=True,
    ),
)

NOT_A_NUMBER = (
    Pair(
        "0 divided by 0",
        "not-a-number",
        LOAD
        + """
asc.relu(t, t)
- asc.adds(u, t, 1.0)
+ asc.adds(u, t, 0.0)
asc.div(t, t, u)  # here
"""
        + STORE,
        (
            "here: div makes NaN in UB 't' (fp32) out of finite numbers; look for 0/0, inf - inf, 0 x inf, or the"
            " root or logarithm of a negative number; it reaches output 'z' (first on ...) [not-a-number]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': np.maximum(inputs['v'], 0) / (np.maximum(inputs['v'], 0) + 1)}",
        data=True,
    ),
    Pair(
        "infinity minus infinity",
        "not-a-number",
        LOAD
        + """
asc.duplicate(u, float("-inf"))
- asc.sub(u, u, t)
+ asc.sub(u, u, u)  # here
asc.exp(u, u)
asc.add(t, t, u)
"""
        + STORE,
        (
            "here: sub makes NaN in UB 'u' (fp32) out of infinities in 'u'; look for 0/0, inf - inf, 0 x inf, or "
            "the root or logarithm of a negative number; it reaches output 'z' (first on ...) [not-a-number]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': inputs['v']}",
        data=True,
    ),
    Pair(
        "the root of negative numbers",
        "not-a-number",
        LOAD
        + """
- asc.abs(t, t)
asc.sqrt(t, t)  # here
"""
        + STORE,
        (
            "here: sqrt makes NaN in UB 't' (fp32) out of finite numbers; look for 0/0, inf - inf, 0 x inf, or "
            "the root or logarithm of a negative number; it reaches output 'z' (first on ...) [not-a-number]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': np.sqrt(np.abs(inputs['v']))}",
        data=True,
    ),
)

EXPONENTS = (
    Pair(
        "exponents that leave the range",
        "exponent-add",
        LOAD
        + """
- step = 2
+ step = 200
"""
        + RESCALE,
        (
            "here: atomic addition of int32 to fp32 numbers of GM 'z': 0.1257, which is to be multiplied by a "
            "power of two, would leave the range of fp32, and becomes -1.745e-18; clip the exponent difference, "
            "and keep such numbers out (first on ...) (4,096 times) [exponent-add]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': 4 * inputs['v']}",
        data=True,
    ),
    Pair(
        "exponents that go below the range",
        "exponent-add",
        LOAD
        + """
- step = -2
+ step = -200
"""
        + RESCALE,
        (
            "here: atomic addition of int32 to fp32 numbers of GM 'z': 0.1257, which is to be multiplied by a "
            "power of two, would leave the range of fp32, and becomes -9.06e+15; clip the exponent difference, "
            "and keep such numbers out (first on ...) (4,096 times) [exponent-add]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': inputs['v'] / 4}",
        data=True,
    ),
    Pair(
        "an exponent added to zeros",
        "exponent-add",
        LOAD
        + """
step = 2
asc.relu(t, t)
- asc.adds(t, t, 1.0)
"""
        + RESCALE,
        (
            "here: atomic addition of int32 to fp32 numbers of GM 'z': 0, which is to be multiplied by a power of"
            " two, is zero or subnormal, whose exponent cannot be changed by an addition, and becomes 2.351e-38; "
            "clip the exponent difference, and keep such numbers out (first on ...) (2,107 times) [exponent-add]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': 4 * (np.maximum(inputs['v'], 0) + 1)}",
        data=True,
    ),
    Pair(
        "an exponent added to infinities",
        "exponent-add",
        LOAD
        + """
step = 2
- asc.duplicate(t, 1.0)
+ asc.duplicate(t, float("inf"))
"""
        + RESCALE,
        (
            "here: atomic addition of int32 to fp32 numbers of GM 'z': inf, which is to be multiplied by a power "
            "of two, is no number, and becomes -1.175e-38; clip the exponent difference, and keep such numbers "
            "out (first on ...) (4,096 times) [exponent-add]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': np.full(4096, 4.0)}",
        data=True,
    ),
)

MATRICES = """
left = core.tensor("left", Space.L1, (64, 64), fp16)
right = core.tensor("right", Space.L1, (64, 64), fp16)
l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
"""
MULTIPLY = """
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
order(Pipe.MTE2, Pipe.MTE1)
asc.load_data(l0a, left)
asc.load_data(l0b, right)
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True)  # here
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)  # there
"""
PRODUCT = "{'c': inputs['a'] @ inputs['b']}"

FORMATS = (
    Pair(
        "an accumulator of another format",
        "hardware-rule",
        MATRICES
        + """
- l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
+ l0c = core.tensor("l0c", Space.L0C, (64, 64), int32)
"""
        + MULTIPLY,
        (
            "here: mmad: destination 'l0c' is int32; fp16 products accumulate in fp32 [hardware-rule]",
            "there: fixpipe: cannot write int32 of 'l0c' as fp32; possible: int32 [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
    Pair(
        "operands of two formats",
        "hardware-rule",
        MATRICES
        + """
l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
+ l0b = l0b.reinterpret(bf16)
"""
        + MULTIPLY.replace("l0b, right)", "l0b.reinterpret(fp16), right)"),
        (
            "here: mmad: left is fp16, right is bf16; both must be the same of fp16, bf16, fp32, int8 "
            "[hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
    Pair(
        "a depth that does not fit",
        "hardware-rule",
        MATRICES
        + """
l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
"""
        + MULTIPLY.replace("asc.mmad(l0c, l0a, l0b, init=True)  # here", "- asc.mmad(l0c, l0a, l0b, init=True)\n"
                           "+ asc.mmad(l0c, l0a[:, :32], l0b, init=True)  # here"),
        (
            "here: mmad: shapes do not fit: left 'l0a' [64, 32] x right 'l0b' [64, 64] -> 'l0c' [64, 64]; write "
            "(m, k) x (k, n) -> (m, n) [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
    Pair(
        "a tile added to fp16",
        "hardware-rule",
        MATRICES
        + """
l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
"""
        + MULTIPLY.replace("asc.fixpipe(gm.c, l0c)  # there", "- asc.fixpipe(gm.c, l0c)\n"
                           "+ asc.fixpipe(gm.c, l0c, atomic_add=True)  # there"),
        (
            "there: fixpipe: atomic add is available for fp32 and int32, not for fp16; cast first [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE.replace("(64, 64), fp32", "(64, 64), fp16"),
        outputs=PRODUCT,
    ),
)

WRONG_RESULTS = (
    Pair(
        "another constant",
        "wrong-numbers",
        LOAD
        + """
- asc.adds(t, t, 1.0)
+ asc.adds(t, t, 1.5)
"""
        + STORE,
        (
            "kernel.py:...: wrong numbers: output 'z' differs from kernel_reference.py by a relative error of "
            "0.357; the tolerance is 0.002; look for a missing flag or an uninitialised buffer; see "
            "docs/how-to/debug-a-kernel.md [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': inputs['v'] + 1}",
        data=True,
    ),
    Pair(
        "a tile at another place",
        "wrong-numbers",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        asc.data_copy(t, gm.v)
        order(Pipe.MTE2, Pipe.MTE3)
        - asc.data_copy(gm.z, t)
        + asc.data_copy(gm.z[:4088], t[8:])
        """,
        (
            "kernel.py:...: wrong numbers: output 'z' holds 8 values that are NaN or infinite; look for a missing"
            " flag or an uninitialised buffer; see docs/how-to/debug-a-kernel.md [wrong-numbers]",
        ),
        tensors=VECTOR,
        outputs="{'z': inputs['v']}",
        data=True,
    ),
    Pair(
        "a second operand that is not transposed",
        "wrong-numbers",
        MATRICES
        + """
l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
order(Pipe.MTE2, Pipe.MTE1)
asc.load_data(l0a, left)
- asc.load_data(l0b, right, transpose=True)
+ asc.load_data(l0b, right)
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "kernel.py:...: wrong numbers: output 'c' differs from kernel_reference.py by a relative error of "
            "1.37; the tolerance is 0.002; look for a missing flag or an uninitialised buffer; see "
            "docs/how-to/debug-a-kernel.md [wrong-numbers]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs="{'c': inputs['a'] @ inputs['b'].T}",
        data=True,
    ),
)

PAIRS = (*OVERFLOWS, *NOT_A_NUMBER, *EXPONENTS, *FORMATS, *WRONG_RESULTS)
