"""Races by flags and rings that are there, but not as they should be; and one that the times hide."""

from __future__ import annotations

from safety_pairs.case import Pair

TILES = """
t = core.tensor("t", Space.UB, 4096, fp32)
u = core.tensor("u", Space.UB, 4096, fp32)
"""
PLUS_1 = "{'z': inputs['v'] + 1}"

PAIRS = (
    Pair(
        "a set before the write",
        "race",
        TILES
        + """
+ asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.data_copy(t, gm.v[:4096])
- asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
asc.adds(u, t, 1.0)  # here
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, u)
""",
        (
            "here: race in UB 't', bytes 0x0 to 0x4000: PIPE_V adds reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors="gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "a wait after the read",
        "race",
        TILES
        + """
asc.data_copy(t, gm.v[:4096])
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
- asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
asc.adds(u, t, 1.0)  # here
+ asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, u)
""",
        (
            "here: race in UB 't', bytes 0x0 to 0x4000: PIPE_V adds reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors="gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "a flag for another pipe",
        "race",
        TILES
        + """
asc.data_copy(t, gm.v[:4096])
- order(Pipe.MTE2, Pipe.V)
+ order(Pipe.MTE2, Pipe.MTE3)
asc.adds(u, t, 1.0)  # here
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, u)
""",
        (
            "here: race in UB 't', bytes 0x0 to 0x4000: PIPE_V adds reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors="gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)",
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "the flag of another load",
        "race",
        """
        t = core.tensor("t", Space.UB, (2, 4096), fp32)
        for event in (0, 1):
            asc.data_copy(t[event : event + 1, :], gm.v[event : event + 1, :])
            asc.set_flag(Pipe.MTE2, Pipe.V, event)
        - for row, event in ((1, 1), (0, 0)):
        + for row, event in ((1, 0), (0, 1)):
            asc.wait_flag(Pipe.MTE2, Pipe.V, event)
            asc.adds(t[row : row + 1, :], t[row : row + 1, :], 1.0)  # here
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: race in UB 't', bytes 0x4000 to 0x8000: PIPE_V adds reads what PIPE_MTE2 data_copy "
            "(kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.V, id) after line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) "
            "[race]",
        ),
        tensors="gm.input('v', (2, 4096), fp32)\ngm.output('z', (2, 4096), fp32)",
        outputs=PLUS_1,
        changes=True,
    ),
    Pair(
        "a slot is used after it was given back",
        "race",
        """
        slots = core.ring("slots", (Space.UB, 4096, fp32), buffers=1, fill=Pipe.MTE2, drain=Pipe.V)
        out = core.ring("out", (Space.UB, 4096, fp32), buffers=1, fill=Pipe.V, drain=Pipe.MTE3)
        for begin in (0, 4096):
            with slots.fill() as tile:
                asc.data_copy(tile, gm.v[begin : begin + 4096])  # here
            tile, result = slots.deque(), out.alloc()
            + slots.free()
            asc.adds(result, tile, 1.0)
            - slots.free()
            out.enque()
            with out.take() as tile:
                asc.data_copy(gm.z[begin : begin + 4096], tile)
        """,
        (
            "here: race in UB 'slots[0]', bytes 0x0 to 0x4000: PIPE_MTE2 data_copy writes what PIPE_V adds "
            "(kernel.py:...) reads (write after read), and nothing orders the two; write set_flag(Pipe.V, "
            "Pipe.MTE2, id) after line ... and wait_flag(Pipe.V, Pipe.MTE2, id) before line ... (first on ...) "
            "[race]",
        ),
        outputs=PLUS_1,
        changes=True,
        hidden=True,
    ),
    Pair(
        "a ring that names another drain pipe",
        "race",
        """
        - slots = core.ring("slots", (Space.UB, 4096, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)
        + slots = core.ring("slots", (Space.UB, 4096, fp32), fill=Pipe.MTE2, drain=Pipe.V)
        for begin in (0, 4096):
            with slots.fill() as tile:
                asc.data_copy(tile, gm.v[begin : begin + 4096])
            with slots.take() as tile:
                asc.data_copy(gm.z[begin : begin + 4096], tile)  # here
        """,
        (
            "here: race in UB 'slots[0]', bytes 0x0 to 0x4000: PIPE_MTE3 data_copy reads what PIPE_MTE2 data_copy"
            " (kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.MTE3, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE3, id) before line ... (first on ...)"
            " (2 times) [race]",
        ),
        outputs="{'z': inputs['v']}",
        changes=True,
    ),
    Pair(
        "a slot is handed over before it is filled",
        "race",
        """
        slots = core.ring("slots", (Space.UB, 4096, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)
        for begin in (0, 4096):
            tile = slots.alloc()
            + slots.enque()
            asc.data_copy(tile, gm.v[begin : begin + 4096])
            - slots.enque()
            with slots.take() as tile:
                asc.data_copy(gm.z[begin : begin + 4096], tile)  # here
        """,
        (
            "here: race in UB 'slots[0]', bytes 0x0 to 0x4000: PIPE_MTE3 data_copy reads what PIPE_MTE2 data_copy"
            " (kernel.py:...) writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, "
            "Pipe.MTE3, id) after line ... and wait_flag(Pipe.MTE2, Pipe.MTE3, id) before line ... (first on ...)"
            " (2 times) [race]",
        ),
        outputs="{'z': inputs['v']}",
        changes=True,
    ),
    Pair(
        "a race that the times hide",
        "race",
        """
        t = core.tensor("t", Space.UB, 64, fp32)
        work = core.tensor("work", Space.UB, 16384, fp32)
        asc.data_copy(t, gm.v)
        for _ in range(4):
            asc.duplicate(work, 1.0)
        - order(Pipe.MTE2, Pipe.V)
        asc.adds(t, t, 1.0)  # here
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.z, t)
        """,
        (
            "here: race in UB 't', bytes 0x0 to 0x100: PIPE_V adds reads what PIPE_MTE2 data_copy (kernel.py:...)"
            " writes (read after write), and nothing orders the two; write set_flag(Pipe.MTE2, Pipe.V, id) after "
            "line ... and wait_flag(Pipe.MTE2, Pipe.V, id) before line ... (first on ...) [race]",
        ),
        tensors="gm.input('v', (64,), fp32)\ngm.output('z', (64,), fp32)",
        outputs=PLUS_1,
        changes=True,
        hidden=True,
    ),
)
