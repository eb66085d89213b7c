"""Flags misused: set while set, never waited for, counted past the end, two modes, ids and modes that do not exist."""

from __future__ import annotations

from safety_pairs.case import CUBE, HANDED_OVER, Pair

COPY = "gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)"
SAME = "{'z': inputs['v']}"
TILE = 't = core.tensor("t", Space.UB, 4096, fp32)\n'
SETS = (
    Pair(
        "a flag set while it is set",
        "set-twice",
        """
        t = core.tensor("t", Space.UB, (2, 64), fp32)
        - events = 0, 1
        + events = 0, 0
        for row in (0, 1):
            asc.data_copy(t[row : row + 1, :], gm.v[row : row + 1, :])
            asc.set_flag(Pipe.MTE2, Pipe.MTE3, events[row])  # here
        for row in (0, 1):
            asc.wait_flag(Pipe.MTE2, Pipe.MTE3, events[row])
            asc.data_copy(gm.z[row : row + 1, :], t[row : row + 1, :])
        """,
        (
            "here: set_flag PIPE_MTE2->PIPE_MTE3, id 0, can come while the flag is still set: nobody has waited "
            "for the set at kernel.py:.... The flag is one bit, so one set would be lost and its wait hang: let "
            "PIPE_MTE2 wait for a flag of PIPE_MTE3 first, or use another id (first on ...) [set-twice]",
        ),
        tensors="gm.input('v', (2, 64), fp32)\ngm.output('z', (2, 64), fp32)",
        outputs=SAME,
        hidden=True,
    ),
    Pair(
        "a loop without a flag back",
        "set-twice",
        """
        t = core.tensor("t", Space.UB, (2, 4096), fp32)
        for row in (0, 1):
            - event = row
            + event = 0
            asc.data_copy(t[row : row + 1, :], gm.v[row : row + 1, :])
            asc.set_flag(Pipe.MTE2, Pipe.MTE3, event)  # here
            asc.wait_flag(Pipe.MTE2, Pipe.MTE3, event)
            asc.data_copy(gm.z[row : row + 1, :], t[row : row + 1, :])
        """,
        (
            "here: set_flag PIPE_MTE2->PIPE_MTE3, id 0, can come while the flag is still set: the wait at "
            "kernel.py:... for the set before it may not have passed. The flag is one bit, so one set would be "
            "lost and its wait hang: let PIPE_MTE2 wait for a flag of PIPE_MTE3 first, or use another id (first "
            "on ...) [set-twice]",
        ),
        tensors="gm.input('v', (2, 4096), fp32)\ngm.output('z', (2, 4096), fp32)",
        outputs=SAME,
        hidden=True,
    ),
    Pair(
        "a flag that nobody waits for",
        "never-waited-for",
        TILE
        + """
asc.data_copy(t, gm.v)
order(Pipe.MTE2, Pipe.MTE3)
asc.data_copy(gm.z, t)
asc.set_flag(Pipe.MTE3, Pipe.MTE2, 0)  # here
- asc.wait_flag(Pipe.MTE3, Pipe.MTE2, 0)
""",
        (
            "here: set_flag PIPE_MTE3->PIPE_MTE2, id 0, is never waited for; the next kernel would find it set: "
            "add wait_flag(Pipe.MTE3, Pipe.MTE2, 0), or remove the set (first on ...) [never-waited-for]",
        ),
        tensors=COPY,
        outputs=SAME,
        hidden=True,
    ),
    Pair(
        "a cross-core flag that nobody waits for",
        "never-waited-for",
        """
        if core.is_cube:
            asc.cross_core_set_flag(0, Pipe.FIX)
            + asc.cross_core_set_flag(0, Pipe.FIX)  # here
        else:
            asc.cross_core_wait_flag(0)
        """,
        (
            "here: cross_core_set_flag 0, mode 2, of die0.core0.cubecore0 is set more often than "
            "die0.core0.veccore0 waits for it (1 left); the next kernel would find it set: wait once for each set"
            " (2 times) [never-waited-for]",
        ),
        cores="mix",
    ),
    Pair(
        "a tile that is never drained",
        "never-waited-for",
        HANDED_OVER
        + """
asc.mmad(l0c, l0a, l0b, init=True, last=True)
- asc.fixpipe(gm.c, l0c)
asc.mmad(l0c, l0a, l0b, init=True, last=True)  # here
asc.fixpipe(gm.d, l0c)
""",
        (
            "here: mmad finishes a tile of a unit_flag buffer that no fixpipe drains; the next kernel would find "
            "it full: write one fixpipe for each mmad with last=True (first on ...) [never-waited-for]",
        ),
        cores="cube",
        tensors=CUBE + 'gm.output("d", (64, 64), fp32)',
        outputs="{'c': inputs['a'] @ inputs['b'], 'd': inputs['a'] @ inputs['b']}",
    ),
)

COUNTERS = (
    Pair(
        "more sets than a counter holds",
        "flag-counter",
        """
        - sets = 15
        + sets = 16
        for _ in range(sets):
            if core.is_cube:
                asc.cross_core_set_flag(0, Pipe.FIX)  # here
            else:
                asc.cross_core_wait_flag(0)
        """,
        (
            "here: cross_core_set_flag 0, mode 2: 16 sets can be outstanding at die0.core0.veccore0 when this one"
            " comes, for all that die0.core0.cubecore0 knows; the counter holds 15: let this core wait for a flag"
            " of the other one at least every 15 sets (2 times) [flag-counter]",
        ),
        cores="mix",
    ),
    Pair(
        "one flag in two modes",
        "flag-modes",
        """
        - done = 1
        + done = 0
        if core.is_vector:
            asc.cross_core_set_flag(0, Pipe.MTE3, mode=1)
            asc.cross_core_wait_flag(0, mode=1)
            asc.cross_core_wait_flag(done)  # here
        else:
            asc.cross_core_set_flag(done, Pipe.FIX)
        """,
        (
            "here: cross-core flag 0 is waited for in mode 1 and in mode 2 on one core, but each id has one "
            "counter: use another id for one of them (2 times) [flag-modes]",
        ),
        cores="mix",
    ),
    Pair(
        "one cross-core flag on two pipes",
        "flag-pipes",
        """
        - other = 1
        + other = 0
        if core.is_vector:
            asc.cross_core_set_flag(0, Pipe.MTE3)
            asc.cross_core_set_flag(other, Pipe.MTE2)  # here
        else:
            asc.cross_core_wait_flag(0)
            asc.cross_core_wait_flag(other)
        """,
        (
            "here: cross_core_set_flag 0, mode 2, on PIPE_MTE2 and on PIPE_MTE3 (kernel.py:...) come in no fixed "
            "order: whoever waits cannot know which of them it has seen; use another id for one of them, or let "
            "PIPE_MTE2 wait for PIPE_MTE3 first (first on die0.core0.veccore0) (2 times) [flag-pipes]",
        ),
        cores="mix",
    ),
    Pair(
        "vector cores that set a flag differently often",
        "vector-cores-disagree",
        """
        if core.is_vector:
            - for _ in range(2):
            + for _ in range(2 + core.sub):
                asc.cross_core_set_flag(0, Pipe.MTE3)  # here
        else:
            for _ in range(2):
                asc.cross_core_wait_flag(0)
        """,
        (
            "here: cross_core_set_flag 0, mode 2, is set by die0.core0.veccore0 2 times, die0.core0.veccore1 3 "
            "times; the cube core waits until every one of them has set it: let all of them set it equally often "
            "[vector-cores-disagree]",
        ),
        cores="mix",
    ),
)

REFUSED = (
    Pair(
        "an event id that does not exist",
        "hardware-rule",
        TILE
        + """
- event = 7
+ event = 8
asc.data_copy(t, gm.v)
asc.set_flag(Pipe.MTE2, Pipe.MTE3, event)  # here
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, event)  # there
asc.data_copy(gm.z, t)
""",
        (
            "here: set_flag: event id 8 is outside 0..7; each pair of pipes has 8 event ids, use one of them "
            "again [hardware-rule]",
            "there: wait_flag: event id 8 is outside 0..7; each pair of pipes has 8 event ids, use one of them "
            "again [hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "rings that need more event ids than there are",
        "hardware-rule",
        """
        core.ring("first", (Space.UB, 64, fp32), buffers=4, fill=Pipe.MTE2, drain=Pipe.V)
        - core.ring("second", (Space.UB, 64, fp32), buffers=4, fill=Pipe.MTE2, drain=Pipe.V)
        + core.ring("second", (Space.UB, 64, fp32), buffers=5, fill=Pipe.MTE2, drain=Pipe.V)  # here
        """,
        (
            "here: ring 'second' needs 5 event ids PIPE_MTE2->PIPE_V, 4 of 8 are left (in use: first 4, second "
            "5); put operands that travel together into one ring, or use fewer buffers [hardware-rule]",
            "here: ring 'second' needs 5 event ids PIPE_V->PIPE_MTE2, 4 of 8 are left (in use: first 4, second "
            "5); put operands that travel together into one ring, or use fewer buffers [hardware-rule]",
        ),
    ),
    Pair(
        "an event id that a ring holds",
        "hardware-rule",
        """
        slots = core.ring("slots", (Space.UB, 4096, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)
        with slots.fill() as tile:
            asc.data_copy(tile, gm.v)
        with slots.take() as tile:
            asc.data_copy(gm.z, tile)
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 2)
        - asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 2)
        + asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 1)  # here
        """,
        (
            "here: wait_flag: event id 1 PIPE_MTE2->PIPE_MTE3 belongs to ring 'slots' (kernel.py:...); ids 3..7 "
            "are free: use one of them [hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a slot that is never given back",
        "hardware-rule",
        """
        slots = core.ring("slots", (Space.UB, 4096, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)  # here
        with slots.fill() as tile:
            asc.data_copy(tile, gm.v)
        asc.data_copy(gm.z, slots.deque())
        - slots.free()
        """,
        (
            "here: ring 'slots': 1 slot(s) taken but never freed at the end of the kernel; free them "
            "[hardware-rule]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "mode 1 on a cube core",
        "hardware-rule",
        """
        - if core.is_vector:
        + if core.is_cube:
            asc.cross_core_set_flag(0, Pipe.MTE2, mode=1)  # here
            asc.cross_core_wait_flag(0, mode=1)  # there
        """,
        (
            "here: cross_core_set_flag (flag 0, mode 1, PIPE_MTE2) belongs to aiv cores, this is an aic core; "
            "write it in a stage of the right kind [hardware-rule]",
            "there: cross_core_wait_flag (flag 0, mode 1) belongs to aiv cores, this is an aic core; write it in "
            "a stage of the right kind [hardware-rule]",
        ),
        cores="mix",
    ),
    Pair(
        "a cross-core set on the scalar unit",
        "hardware-rule",
        """
        if core.is_cube:
            - asc.cross_core_set_flag(0, Pipe.FIX)
            + asc.cross_core_set_flag(0, Pipe.S)  # here
        else:
            asc.cross_core_wait_flag(0)
        """,
        (
            "here: cross_core_set_flag: cannot run on PIPE_S; name the pipe whose results the other core reads "
            "(PIPE_FIX on a cube core, PIPE_MTE3 on a vector core) [hardware-rule]",
        ),
        cores="mix",
    ),
    Pair(
        "a cross-core flag that kernels may not use",
        "hardware-rule",
        """
        if core.is_cube:
            - asc.cross_core_set_flag(10, Pipe.FIX)
            + asc.cross_core_set_flag(11, Pipe.FIX)  # here
        else:
            asc.cross_core_wait_flag(10)
        """,
        (
            "here: cross_core_set_flag: cross-core flag id 11 is outside 0..10, the ids open to kernels "
            "[hardware-rule]",
        ),
        cores="mix",
    ),
    Pair(
        "a flag of the other kind of core",
        "hardware-rule",
        """
        - if core.is_cube:
        + if core.is_vector:
            asc.set_flag(Pipe.M, Pipe.FIX, 0)  # here
            asc.wait_flag(Pipe.M, Pipe.FIX, 0)  # there
        """,
        (
            "here: set_flag (PIPE_M->PIPE_FIX, id 0) belongs to aic cores, this is an aiv core; write it in a "
            "stage of the right kind [hardware-rule]",
            "there: wait_flag (PIPE_M->PIPE_FIX, id 0) belongs to aic cores, this is an aiv core; write it in a "
            "stage of the right kind [hardware-rule]",
        ),
        cores="mix",
    ),
)

PAIRS = (*SETS, *COUNTERS, *REFUSED)
