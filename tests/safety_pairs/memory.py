"""Memory: windows out of bounds, buffers too large, misaligned or overlapping, and reads of what nobody has written."""

from __future__ import annotations

from safety_pairs.case import CUBE, IN_L0, Pair

COPY = "gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)"
SAME = "{'z': inputs['v']}"
PLUS_1 = "{'z': inputs['v'] + 1}"
THROUGH_UB = """
order(Pipe.MTE2, Pipe.MTE3)
asc.data_copy(gm.z, t)
"""
PRODUCT = "{'c': inputs['a'] @ inputs['b']}"


def capacity(space: str, most: int) -> Pair:
    """The whole of *space*, of *most* bytes, and one more piece than it has."""
    core = {"UB": "aiv"}.get(space, "aic")
    return Pair(
        f"more {space} than there is",
        "hardware-rule",
        f"""
        - size = {most}
        + size = {most} + 1024
        core.buffer("all", Space.{space}, size)  # here
        """,
        (
            f"here: {space} overflows at buffer 'all': it needs bytes 0 to {most + 1024}, the memory has {most} B "
            "(in use: all ...); make tiles smaller or rings shallower; by address: ... [hardware-rule]",
        ),
        cores="vector" if core == "aiv" else "cube",
        tensors=COPY,
    )


WINDOWS = (
    Pair(
        "a window beyond a tensor of GM",
        "hardware-rule",
        """
        t = core.tensor("t", Space.UB, 1000, fp32)
        for begin in range(0, 4500, 1000):
            - n = min(1000, 4500 - begin)
            + n = 1000
            asc.data_copy(t[:n], gm.v[begin : begin + n])  # here
            order(Pipe.MTE2, Pipe.MTE3)
            asc.data_copy(gm.z[begin : begin + n], t[:n])
            asc.pipe_barrier(Pipe.ALL)
        """,
        (
            "here: slice 4000:5000 of 'v' axis 0 is not inside 0:4500; slices must be non-empty, ascending and of"
            " step 1 [hardware-rule]",
        ),
        tensors="gm.input('v', (4500,), fp32)\ngm.output('z', (4500,), fp32)",
        outputs=SAME,
    ),
    Pair(
        "a window beyond a tensor in UB",
        "hardware-rule",
        """
        - t = core.tensor("t", Space.UB, 4096, fp32)
        + t = core.tensor("t", Space.UB, 4000, fp32)
        asc.data_copy(t[:4096], gm.v)  # here
        """
        + THROUGH_UB.replace("\n", "\n        "),
        (
            "here: slice 0:4096 of 't' axis 0 is not inside 0:4000; slices must be non-empty, ascending and of "
            "step 1 [hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a window beyond a tile in L1",
        "hardware-rule",
        """
        l1 = core.tensor("l1", Space.L1, (64, 64), fp16)
        l0a = core.tensor("l0a", Space.L0A, (32, 64), fp16)
        asc.data_copy(l1, gm.a)
        order(Pipe.MTE2, Pipe.MTE1)
        - for row in (0, 32):
        + for row in (0, 32, 64):
            asc.load_data(l0a, l1[row : row + 32, :])  # here
            asc.pipe_barrier(Pipe.MTE1)
        """,
        (
            "here: slice 64:96 of 'l1' axis 0 is not inside 0:64; slices must be non-empty, ascending and of step"
            " 1 [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
    ),
    Pair(
        "a window beyond a tile in L0A",
        "hardware-rule",
        IN_L0
        + """
for k in (0, 32):
    - asc.mmad(l0c, l0a[:, k : k + 32], l0b[k : k + 32, :], init=k == 0)
    + asc.mmad(l0c, l0a[:, k : k + 64], l0b[k : k + 64, :], init=k == 0)  # here
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: slice 32:96 of 'l0a' axis 1 is not inside 0:64; slices must be non-empty, ascending and of "
            "step 1 [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
    Pair(
        "a tile larger than its buffer",
        "hardware-rule",
        """
        raw = core.buffer("raw", Space.UB, 16384)
        - t = raw.tile(4096, fp32)
        + t = raw.tile(8192, fp32)  # here
        asc.data_copy(t[:4096], gm.v)
        """
        + THROUGH_UB.replace("\n", "\n        ").replace("t)", "t[:4096])"),
        (
            "here: tile [8192] fp32 does not fit into buffer 'raw' in UB: needs 32768 B, the buffer has 16384 B; "
            "make the tile smaller or the buffer larger [hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a window that is no multiple of a block",
        "hardware-rule",
        """
        t = core.tensor("t", Space.UB, 4104, fp32)
        - part = t[8:4104]
        + part = t[4:4100]
        asc.data_copy(part, gm.v)  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z, part)  # there
        """,
        (
            "here: data_copy: destination 't' begins at byte 0x10 of UB, which is not a multiple of 32 B; move "
            "the slice by 4 elements [hardware-rule]",
            "there: data_copy: source 't' begins at byte 0x10 of UB, which is not a multiple of 32 B; move the "
            "slice by 4 elements [hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a window that begins inside a fractal",
        "hardware-rule",
        """
        l1 = core.tensor("l1", Space.L1, (64, 64), fp16)
        l0a = core.tensor("l0a", Space.L0A, (32, 64), fp16)
        asc.data_copy(l1, gm.a)
        order(Pipe.MTE2, Pipe.MTE1)
        - first = 16
        + first = 8
        asc.load_data(l0a, l1[first : first + 32, :])  # here
        """,
        (
            "here: load_data: source 'l1' begins at element [8, 0], inside a fractal of 16x16 fp16; slice L1 "
            "tiles at multiples of 16 and 16 [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
    ),
)

PLACES = (
    capacity("UB", 196608),
    capacity("L1", 524288),
    capacity("L0A", 65536),
    capacity("L0B", 65536),
    capacity("L0C", 131072),
    Pair(
        "more GM than there is",
        "hardware-rule",
        "pass",
        (
            "kernel.py:...: GM overflows: the tensors need 137438953472 B, Ascend910B2 has 68719476736 B (large "
            "137438953472); shrink the problem [hardware-rule]",
        ),
        tensors="""
        - gm.workspace("large", (1 << 20, 1 << 12), fp32)
        + gm.workspace("large", (1 << 20, 1 << 15), fp32)
        """,
    ),
    Pair(
        "buffers that overlap",
        "hardware-rule",
        """
        t = core.buffer("t", Space.UB, 16384, at=0)
        - u = core.buffer("u", Space.UB, 16384, at=16384)
        + u = core.buffer("u", Space.UB, 16384, at=8192)  # here
        """,
        (
            "here: buffer 'u' (bytes 8192 to 24576, kernel.py:...) overlaps buffer 't' (bytes 0 to 16384, "
            "kernel.py:...): place it at 16384 or behind, or lay tiles of both over one buffer with "
            "buffer.tile(..., start=) [hardware-rule]",
        ),
        tensors=COPY,
    ),
    Pair(
        "a tensor over another one",
        "hardware-rule",
        """
        core.tensor("first", Space.L1, (64, 64), fp16, at=0)
        - core.tensor("second", Space.L1, (64, 64), fp16, at=8192)
        + core.tensor("second", Space.L1, (64, 64), fp16, at=4096)  # here
        """,
        (
            "here: buffer 'second' (bytes 4096 to 12288, kernel.py:...) overlaps buffer 'first' (bytes 0 to 8192,"
            " kernel.py:...): place it at 8192 or behind, or lay tiles of both over one buffer with "
            "buffer.tile(..., start=) [hardware-rule]",
        ),
        cores="cube",
        tensors=CUBE,
    ),
    Pair(
        "a workspace over an input",
        "hardware-rule",
        "pass",
        (
            "here: tensor 'w' (bytes 4096 to 20480, kernel.py:...) overlaps tensor 'v' (bytes 0 to 16384, "
            "kernel.py:...): place it at 16384 or behind, or leave out at= to have it behind all others "
            "[hardware-rule]",
        ),
        tensors="""
        gm.input("v", (4096,), fp32, at=0)
        - gm.workspace("w", (4096,), fp32, at=16384)
        + gm.workspace("w", (4096,), fp32, at=4096)  # here
        """,
    ),
    Pair(
        "a buffer at an address that is no multiple of a block",
        "hardware-rule",
        """
        - core.buffer("t", Space.UB, 1024, at=32)
        + core.buffer("t", Space.UB, 1024, at=48)  # here
        """,
        (
            "here: buffer 't': at=48 is not a multiple of 32 B, the alignment in UB; the nearest addresses are 32"
            " and 64 [hardware-rule]",
        ),
        tensors=COPY,
    ),
)

UNWRITTEN = (
    Pair(
        "UB that nobody has written",
        "uninitialised",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        u = core.tensor("u", Space.UB, 4096, fp32)
        asc.data_copy(t, gm.v)
        order(Pipe.MTE2, Pipe.V)
        - asc.duplicate(u, 1.0)
        asc.add(t, t, u)  # here
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: add reads UB 'u' at bytes 0x4000 to 0x8000, but nobody has written there: it holds poison "
            "(NaN); write it first, or mmad with init=True, or store the first part without atomic_add (first on "
            "...) [uninitialised]",
        ),
        tensors=COPY,
        outputs=PLUS_1,
    ),
    Pair(
        "padding that reaches an output",
        "uninitialised",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        u = core.tensor("u", Space.UB, 4096, fp32)
        asc.data_copy(t[:4088], gm.v[:4088])
        - asc.duplicate(t[4088:], 0.0)
        order(Pipe.MTE2, Pipe.V)
        asc.adds(u, t, 1.0)  # here
        asc.muls(t, u, 2.0)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: adds reads UB 't', which nobody has written (all of it, or in part): it holds poison (NaN); "
            "write it first; it reaches output 'z' (first on ...) [uninitialised]",
            "kernel.py:...: wrong numbers: output 'z' ... [wrong-numbers]",
        ),
        tensors=COPY,
        outputs="{'z': 2 * (np.where(np.arange(4096) < 4088, inputs['v'], 0) + 1)}",
        data=True,
    ),
    Pair(
        "an accumulation on a fresh tile",
        "uninitialised",
        IN_L0
        + """
for k in (0, 32):
    - asc.mmad(l0c, l0a[:, k : k + 32], l0b[k : k + 32, :], init=k == 0)
    + asc.mmad(l0c, l0a[:, k : k + 32], l0b[k : k + 32, :], init=False)  # here
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: mmad reads L0C 'l0c' at bytes 0x0 to 0x4000, but nobody has written there: it holds poison "
            "(NaN); write it first, or mmad with init=True, or store the first part without atomic_add (first on "
            "...) [uninitialised]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
    Pair(
        "an addition to a workspace that holds nothing",
        "uninitialised",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        asc.data_copy(t, gm.v)
        order(Pipe.MTE2, Pipe.MTE3)
        for part in (0, 1):
            - asc.data_copy(gm.w, t, atomic_add=part > 0)
            + asc.data_copy(gm.w, t, atomic_add=True)  # here
            asc.pipe_barrier(Pipe.MTE3)
        order(Pipe.MTE3, Pipe.MTE2)
        asc.data_copy(t, gm.w)
        order(Pipe.MTE2, Pipe.MTE3, 1)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: data_copy adds to GM 'w' at bytes 0x8000 to 0xc000, but nobody has written there: it holds "
            "poison (NaN); write it first, or mmad with init=True, or store the first part without atomic_add "
            "(first on ...) [uninitialised]",
        ),
        tensors=f"{COPY}\ngm.workspace('w', (4096,), fp32)",
        outputs="{'z': 2 * inputs['v']}",
    ),
    Pair(
        "a workspace that nobody writes",
        "uninitialised",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        - asc.data_copy(t, gm.v)
        + asc.data_copy(t, gm.w)  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: data_copy reads GM 'w' at bytes 0x8000 to 0xc000, but nobody has written there: it holds "
            "poison (NaN); write it first, or mmad with init=True, or store the first part without atomic_add "
            "(first on ...) [uninitialised]",
        ),
        tensors=f"{COPY}\ngm.workspace('w', (4096,), fp32)",
        outputs=SAME,
    ),
    Pair(
        "an output that is drained before any product",
        "uninitialised",
        IN_L0
        + """
- asc.mmad(l0c, l0a, l0b, init=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)  # here
""",
        (
            "here: fixpipe reads L0C 'l0c' at bytes 0x0 to 0x4000, but nobody has written there: it holds poison "
            "(NaN); write it first, or mmad with init=True, or store the first part without atomic_add (first on "
            "...) [uninitialised]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
    ),
)

PAIRS = (*WINDOWS, *PLACES, *UNWRITTEN)
