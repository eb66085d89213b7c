"""Races of a vector core: between pipes in UB and in GM, and on one pipe without a barrier."""

from __future__ import annotations

from safety_pairs.case import Pair

TILES = """
t = core.tensor("t", Space.UB, 4096, fp32)
u = core.tensor("u", Space.UB, 4096, fp32)
"""
PLUS_1 = "{'z': inputs['v'] + 1}"
TWO_TILES = """
t = core.tensor("t", Space.UB, 4096, fp32)
u = core.tensor("u", Space.UB, 4096, fp32)
for begin in (0, 4096):
"""
HALVES = "gm.input('v', (128,), fp32)\ngm.output('z', (128,), fp32)\n"

IN_UB = (
    Pair(
        "a vector reads before the load is complete",
        "race",
        TILES
        + """
for begin in (0, 4096):
    asc.data_copy(t, gm.v[begin : begin + 4096])
    - order(Pipe.MTE2, Pipe.V)
    asc.adds(u, t, 1.0)  # here
    order(Pipe.V, Pipe.MTE3)
    asc.data_copy(gm.z[begin : begin + 4096], u)
    asc.pipe_barrier(Pipe.ALL)
""",
        (
            "here: race in UB 't', bytes 0x0 to 0x4000: PIPE_V adds reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) (2 "
            "times) [race]",
        ),
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "a store reads before the vector has written",
        "race",
        TWO_TILES
        + """
    asc.data_copy(t, gm.v[begin : begin + 4096])
    order(Pipe.MTE2, Pipe.V)
    asc.adds(u, t, 1.0)
    - order(Pipe.V, Pipe.MTE3)
    asc.data_copy(gm.z[begin : begin + 4096], u)  # here
    asc.pipe_barrier(Pipe.ALL)
""",
        (
            "here: race in UB 'u', bytes 0x4000 to 0x8000: PIPE_MTE3 data_copy reads what PIPE_V adds "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.V, "
            "Pipe.MTE3, id) after line ... and wait_flag(Pipe.V, Pipe.MTE3, id) before line ... (first on ...) (2"
            " times) [race]",
        ),
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "a load overwrites what the vector still reads",
        "race",
        TWO_TILES
        + """
    asc.data_copy(t, gm.v[begin : begin + 4096])  # here
    order(Pipe.MTE2, Pipe.V)
    asc.adds(u, t, 1.0)
    order(Pipe.V, Pipe.MTE3)
    - order(Pipe.V, Pipe.MTE2)
    asc.data_copy(gm.z[begin : begin + 4096], u)
    order(Pipe.MTE3, Pipe.V)
""",
        (
            "here: race in UB 't', bytes 0x0 to 0x4000: PIPE_MTE2 data_copy writes what PIPE_V adds "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.V, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.V, Pipe.MTE2, id) before line ... (first on ...) "
            "[race]",
            "kernel.py:...: set_flag PIPE_MTE2->PIPE_V, id 0, can come while the flag is still set: ... "
            "[set-twice]",
        ),
        outputs=PLUS_1,
        changes=True,
        hidden=True,
    ),
    Pair(
        "the vector overwrites what a store still reads",
        "race",
        TWO_TILES
        + """
    asc.data_copy(t, gm.v[begin : begin + 4096])
    order(Pipe.MTE2, Pipe.V)
    asc.adds(u, t, 1.0)  # here
    order(Pipe.V, Pipe.MTE2)
    order(Pipe.V, Pipe.MTE3)
    asc.data_copy(gm.z[begin : begin + 4096], u)
    - order(Pipe.MTE3, Pipe.V)
""",
        (
            "here: race in UB 'u', bytes 0x4000 to 0x8000: PIPE_V adds writes what PIPE_MTE3 data_copy "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.MTE3, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE3, Pipe.V, id) before line ... (first on ...) "
            "[race]",
            "kernel.py:...: set_flag PIPE_V->PIPE_MTE3, id 0, can come while the flag is still set: ... "
            "[set-twice]",
        ),
        outputs=PLUS_1,
        changes=True,
        hidden=True,
    ),
    Pair(
        "padding is written while the load arrives",
        "race",
        """
        t = core.tensor("t", Space.UB, 128, fp32)
        asc.duplicate(t, 0.0)
        - order(Pipe.V, Pipe.MTE2)
        asc.data_copy(t[:64], gm.v[:64])  # here
        order(Pipe.MTE2, Pipe.MTE3)
        order(Pipe.V, Pipe.MTE3, 1)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: race in UB 't', bytes 0x0 to 0x100: PIPE_MTE2 data_copy writes what PIPE_V duplicate "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write set_flag(Pipe.V, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.V, Pipe.MTE2, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors=HALVES,
        outputs="{'z': np.where(np.arange(128) < 64, inputs['v'], 0)}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "a copy through UB without a flag",
        "race",
        """
        t = core.tensor("t", Space.UB, 8192, fp32)
        asc.data_copy(t, gm.v)
        - order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z, t)  # here
        """,
        (
            "here: race in UB 't', bytes 0x0 to 0x8000: PIPE_MTE3 data_copy reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.MTE3, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE3, id) before line ... (first on ...)"
            " [race]",
        ),
        outputs="{'z': inputs['v']}",
        changes=True,
    ),
    Pair(
        "halves that overlap by a block",
        "race",
        """
        t = core.tensor("t", Space.UB, 128, fp32)
        - first, second = t[:64], t[64:]
        + first, second = t[:64], t[56:120]
        asc.data_copy(first, gm.v[:64])
        order(Pipe.MTE2, Pipe.V)
        asc.adds(first, first, 1.0)
        asc.data_copy(second, gm.v[64:])  # here
        order(Pipe.MTE2, Pipe.V, 1)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z[:64], first)
        order(Pipe.MTE3, Pipe.V)
        asc.adds(second, second, 1.0)  # there
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z[64:], second)
        """,
        (
            "here: race in UB 't', bytes 0xe0 to 0x1e0: PIPE_MTE2 data_copy writes what PIPE_V adds "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write set_flag(Pipe.V, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.V, Pipe.MTE2, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors=HALVES,
        outputs=PLUS_1,
        changes=True,
    ),
)

IN_GM = (
    Pair(
        "a workspace is read back before it is stored",
        "race",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        u = core.tensor("u", Space.UB, 4096, fp32)
        asc.duplicate(t, 3.0)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.w, t)
        - order(Pipe.MTE3, Pipe.MTE2)
        asc.data_copy(u, gm.w)  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z, u)
        """,
        (
            "here: race in GM 'w', bytes 0x0 to 0x4000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE3, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.MTE3, Pipe.MTE2, id) before line ... (first on ...)"
            " [race]",
        ),
        tensors="gm.workspace('w', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs="{'z': np.full(4096, 3.0)}",
        changes=True,
    ),
    Pair(
        "a workspace is overwritten while it is read",
        "race",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        u = core.tensor("u", Space.UB, 4096, fp32)
        v = core.tensor("v", Space.UB, 4096, fp32)
        asc.duplicate(t, 3.0)
        asc.duplicate(v, 5.0)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.w, t)
        order(Pipe.MTE3, Pipe.MTE2)
        asc.data_copy(u, gm.w)
        - order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.w, v)  # here
        order(Pipe.MTE2, Pipe.MTE3, 1)
        asc.data_copy(gm.z, u)
        """,
        (
            "here: race in GM 'w', bytes 0x0 to 0x4000: PIPE_MTE3 data_copy writes what PIPE_MTE2 data_copy "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.MTE3, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE3, id) before line ... (first on ...)"
            " [race]",
        ),
        tensors="gm.workspace('w', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs="{'z': np.full(4096, 3.0)}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "stores that overlap, without a barrier",
        "race",
        """
        t = core.tensor("t", Space.UB, 128, fp32)
        asc.duplicate(t[:64], 1.0)
        asc.duplicate(t[64:], 2.0)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        - asc.pipe_barrier(Pipe.MTE3)
        asc.data_copy(gm.z[:64], t[64:])  # here
        """,
        (
            "here: race in GM 'z', bytes 0x200 to 0x300: PIPE_MTE3 data_copy writes what PIPE_MTE3 data_copy "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write "
            "pipe_barrier(Pipe.MTE3) between them (first on ...) [race]",
        ),
        tensors=HALVES,
    ),
)

ON_ONE_PIPE = (
    Pair(
        "a vector reads what the one before has not written",
        "race",
        TILES
        + """
asc.data_copy(t, gm.v[:4096])
order(Pipe.MTE2, Pipe.V)
asc.adds(u, t, 1.0)
- asc.pipe_barrier(Pipe.V)
asc.muls(t, u, 2.0)  # here
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z[:4096], t)
""",
        (
            "here: race in UB 'u', bytes 0x4000 to 0x8000: PIPE_V muls reads what PIPE_V adds (kernel.py:...) "
            "writes (read after write), and nothing orders the two; write pipe_barrier(Pipe.V) between them "
            "(first on ...) [race]",
        ),
        auto_barrier=False,
        tensors="gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs="{'z': 2 * (inputs['v'] + 1)}",
        changes=True,
    ),
    Pair(
        "two vectors write one tile",
        "race",
        """
        t = core.tensor("t", Space.UB, 128, fp32)
        asc.duplicate(t, 1.0)
        - asc.pipe_barrier(Pipe.V)
        asc.duplicate(t[:64], 2.0)  # here
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: race in UB 't', bytes 0x0 to 0x100: PIPE_V duplicate writes what PIPE_V duplicate "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write pipe_barrier(Pipe.V) "
            "between them (first on ...) [race]",
        ),
        auto_barrier=False,
        tensors=HALVES,
        outputs="{'z': np.where(np.arange(128) < 64, 2.0, 1.0)}",
        hidden=True,
    ),
    Pair(
        "loads that overlap, without a barrier",
        "race",
        """
        t = core.tensor("t", Space.UB, 128, fp32)
        asc.data_copy(t, gm.v)
        - asc.pipe_barrier(Pipe.MTE2)
        asc.data_copy(t[:64], gm.v[64:])  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: race in UB 't', bytes 0x0 to 0x100: PIPE_MTE2 data_copy writes what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (write after write), and nothing orders the two; write "
            "pipe_barrier(Pipe.MTE2) between them (first on ...) [race]",
        ),
        tensors=HALVES,
    ),
)

PAIRS = (*IN_UB, *IN_GM, *ON_ONE_PIPE)
