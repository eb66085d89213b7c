"""Races of a cube core: in L1, in L0A and L0B, in L0C, and of what leaves it."""

from __future__ import annotations

from safety_pairs.case import CUBE, HANDED_OVER, IN_L0, MATRICES, Pair

PRODUCT = "{'c': inputs['a'] @ inputs['b']}"

PAIRS = (
    Pair(
        "L0 is loaded from L1 before the tile is there",
        "race",
        MATRICES
        + """
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
- order(Pipe.MTE2, Pipe.MTE1)
+ order(Pipe.MTE2, Pipe.M)
asc.load_data(l0a, left)  # here
asc.load_data(l0b, right)  # there
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: race in L1 'left', bytes 0x0 to 0x2000: PIPE_MTE1 load_data reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.MTE1, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE1, id) before line ... (first on ...)"
            " [race]",
            "there: race in L1 'right', bytes 0x2000 to 0x4000: PIPE_MTE1 load_data reads what PIPE_MTE2 "
            "data_copy (kernel.py:...) writes (read after write), and nothing orders the two; write "
            "set_flag(Pipe.MTE2, Pipe.MTE1, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE1, id) before "
            "line ... (first on ...) [race]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "L1 is overwritten while L0 is loaded from it",
        "race",
        """
        l1 = core.tensor("l1", Space.L1, (64, 64), fp16)
        l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
        l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
        l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
        asc.data_copy(l1, gm.a)
        order(Pipe.MTE2, Pipe.MTE1)
        asc.load_data(l0a, l1)
        - order(Pipe.MTE1, Pipe.MTE2)
        asc.data_copy(l1, gm.b)  # here
        order(Pipe.MTE2, Pipe.MTE1)
        asc.load_data(l0b, l1)
        order(Pipe.MTE1, Pipe.M)
        asc.mmad(l0c, l0a, l0b, init=True)
        order(Pipe.M, Pipe.FIX)
        asc.fixpipe(gm.c, l0c)
        """,
        (
            "here: race in L1 'l1', bytes 0x0 to 0x2000: PIPE_MTE2 data_copy writes what PIPE_MTE1 load_data "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.MTE1, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.MTE1, Pipe.MTE2, id) before line ... (first on ...)"
            " [race]",
            "kernel.py:...: set_flag PIPE_MTE2->PIPE_MTE1, id 0, can come while the flag is still set: ... "
            "[set-twice]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
        changes=True,
        hidden=True,
    ),
    Pair(
        "a product of operands that are not there yet",
        "race",
        IN_L0.replace("order(Pipe.MTE1, Pipe.M)", "- order(Pipe.MTE1, Pipe.M)")
        + """
asc.mmad(l0c, l0a, l0b, init=True)  # here
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: race in L0A 'l0a', bytes 0x0 to 0x2000: PIPE_M mmad reads what PIPE_MTE1 load_data "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE1, "
            "Pipe.M, id) after line ... and wait_flag(Pipe.MTE1, Pipe.M, id) before line ... (first on ...) "
            "[race]",
            "here: race in L0B 'l0b', bytes 0x0 to 0x2000: PIPE_M mmad reads what PIPE_MTE1 load_data "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE1, "
            "Pipe.M, id) after line ... and wait_flag(Pipe.MTE1, Pipe.M, id) before line ... (first on ...) "
            "[race]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "L0B is overwritten while the product reads it",
        "race",
        IN_L0
        + """
asc.mmad(l0c, l0a, l0b, init=True)
- order(Pipe.M, Pipe.MTE1)
asc.load_data(l0b, left)  # here
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=False)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: race in L0B 'l0b', bytes 0x0 to 0x2000: PIPE_MTE1 load_data writes what PIPE_M mmad "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.M, "
            "Pipe.MTE1, id) after line ... and wait_flag(Pipe.M, Pipe.MTE1, id) before line ... (first on ...) "
            "[race]",
            "kernel.py:...: set_flag PIPE_MTE1->PIPE_M, id 0, can come while the flag is still set: ... "
            "[set-twice]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs="{'c': inputs['a'] @ (inputs['b'] + inputs['a'])}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "two pipes write L0A",
        "race",
        MATRICES
        + """
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
order(Pipe.MTE2, Pipe.MTE1)
asc.load_data(l0a, left)
asc.load_data(l0b, right)
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True)
- order(Pipe.M, Pipe.MTE2)
+ order(Pipe.M, Pipe.MTE1)
asc.load_data(l0a, gm.fractals)  # here
order(Pipe.MTE2, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=False)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
""",
        (
            "here: race in L0A 'l0a', bytes 0x0 to 0x2000: PIPE_MTE2 load_data writes what PIPE_M mmad "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.M, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.M, Pipe.MTE2, id) before line ... (first on ...) "
            "[race]",
        ),
        cores="cube",
        tensors=CUBE + 'gm.input("fractals", (64, 64), fp16)',
    ),
    Pair(
        "a tile is drained before it is finished",
        "race",
        IN_L0
        + """
asc.mmad(l0c, l0a, l0b, init=True)
- order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)  # here
""",
        (
            "here: race in L0C 'l0c', bytes 0x0 to 0x4000: PIPE_FIX fixpipe reads what PIPE_M mmad "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.M, "
            "Pipe.FIX, id) after line ... and wait_flag(Pipe.M, Pipe.FIX, id) before line ... (first on ...) "
            "[race]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "a product overwrites the tile that is drained",
        "race",
        IN_L0
        + """
asc.mmad(l0c, l0a, l0b, init=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
- order(Pipe.FIX, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=False)  # here
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.d, l0c)
""",
        (
            "here: race in L0C 'l0c', bytes 0x0 to 0x4000: PIPE_M mmad writes what PIPE_FIX fixpipe "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.FIX, "
            "Pipe.M, id) after line ... and wait_flag(Pipe.FIX, Pipe.M, id) before line ... (first on ...) [race]",
            "kernel.py:...: set_flag PIPE_M->PIPE_FIX, id 0, can come while the flag is still set: ... "
            "[set-twice]",
        ),
        cores="cube",
        tensors=CUBE + 'gm.output("d", (64, 64), fp32)',
        outputs="{'c': inputs['a'] @ inputs['b'], 'd': 2 * inputs['a'] @ inputs['b']}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "a tile of L0C written again behind a hand-over of another one",
        "race",
        HANDED_OVER
        + """
other = core.tensor("other", Space.L0C, (64, 64), fp32)
asc.mmad(other, l0a, l0b, init=True, last=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.d, other)  # read
asc.mmad(l0c, l0a, l0b, init=True, last=True)
asc.fixpipe(gm.c, l0c)
- order(Pipe.FIX, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True, last=True)
asc.fixpipe(gm.e, l0c)
asc.mmad(other, l0a, l0b, init=True, last=True)  # here
order(Pipe.M, Pipe.FIX, 1)
asc.fixpipe(gm.f, other)
""",
        (
            "here: race in L0C 'other', bytes 0x4000 to 0x8000: PIPE_M mmad writes what PIPE_FIX fixpipe "
            "(kernel.py:...) reads (write after read), and nothing orders the two; ... [race]",
        ),
        cores="cube",
        tensors=CUBE + "".join(f'gm.output("{name}", (64, 64), fp32);' for name in "def"),
        outputs="{name: inputs['a'] @ inputs['b'] for name in 'cdef'}",
        hidden=True,
    ),
    Pair(
        "unit_flag left out",
        "race",
        MATRICES.replace('l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)', "")
        + """
- l0c = core.buffer("l0c", Space.L0C, 16384, unit_flag=True).tile((64, 64), fp32)
+ l0c = core.buffer("l0c", Space.L0C, 16384).tile((64, 64), fp32)
asc.data_copy(left, gm.a)
asc.data_copy(right, gm.b)
order(Pipe.MTE2, Pipe.MTE1)
asc.load_data(l0a, left)
asc.load_data(l0b, right)
order(Pipe.MTE1, Pipe.M)
asc.mmad(l0c, l0a, l0b, init=True, last=True)
asc.fixpipe(gm.c, l0c)  # here
""",
        (
            "here: race in L0C 'l0c', bytes 0x0 to 0x4000: PIPE_FIX fixpipe reads what PIPE_M mmad "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.M, "
            "Pipe.FIX, id) after line ... and wait_flag(Pipe.M, Pipe.FIX, id) before line ... (first on ...) "
            "[race]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "drains that overlap, without a barrier",
        "race",
        IN_L0
        + """
asc.mmad(l0c, l0a, l0b, init=True)
order(Pipe.M, Pipe.FIX)
asc.fixpipe(gm.c, l0c)
- asc.pipe_barrier(Pipe.FIX)
asc.fixpipe(gm.c[:16, :], l0c[48:, :])  # here
""",
        (
            "here: race in GM 'c', bytes 0x4000 to 0x5000: PIPE_FIX fixpipe writes what PIPE_FIX fixpipe "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write pipe_barrier(Pipe.FIX)"
            " between them (first on ...) [race]",
        ),
        cores="cube",
        tensors=CUBE,
    ),
    Pair(
        "a small tile accumulates without a barrier",
        "race",
        """
        left = core.tensor("left", Space.L1, (16, 64), fp16)
        right = core.tensor("right", Space.L1, (64, 32), fp16)
        l0a = core.tensor("l0a", Space.L0A, (16, 64), fp16)
        l0b = core.tensor("l0b", Space.L0B, (64, 32), fp16)
        l0c = core.tensor("l0c", Space.L0C, (16, 32), fp32)
        asc.data_copy(left, gm.a)
        asc.data_copy(right, gm.b)
        order(Pipe.MTE2, Pipe.MTE1)
        asc.load_data(l0a, left)
        asc.load_data(l0b, right)
        order(Pipe.MTE1, Pipe.M)
        asc.mmad(l0c, l0a, l0b, init=True)
        - asc.pipe_barrier(Pipe.M)
        asc.mmad(l0c, l0a, l0b, init=False)  # here
        order(Pipe.M, Pipe.FIX)
        asc.fixpipe(gm.c, l0c)
        """,
        (
            "here: race in L0C 'l0c', bytes 0x0 to 0x800: PIPE_M mmad reads what PIPE_M mmad (kernel.py:...) "
            "writes (read after write), and nothing orders the two; write pipe_barrier(Pipe.M) between them "
            "(first on ...) [race]",
        ),
        cores="cube",
        auto_barrier=False,
        tensors="gm.input('a', (16, 64), fp16)\ngm.input('b', (64, 32), fp16)\ngm.output('c', (16, 32), fp32)",
        outputs="{'c': 2 * inputs['a'] @ inputs['b']}",
        changes=True,
    ),
)
