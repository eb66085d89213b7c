"""Programs that come to a stop: flags, cross-core flags, barriers, full queues, the handshake on L0C tiles."""

from __future__ import annotations

from safety_pairs.case import CUBE, HANDED_OVER, Pair

COPY = "gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)"
TILE = 't = core.tensor("t", Space.UB, 4096, fp32)\n'
BOTH_WAYS = """
for begin in (0, 4096):
    asc.wait_flag(Pipe.MTE3, Pipe.MTE2, 0)  # here
    asc.data_copy(t, gm.v[begin : begin + 4096])
    asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
    asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)  # there
    asc.data_copy(gm.z[begin : begin + 4096], t)
    asc.set_flag(Pipe.MTE3, Pipe.MTE2, 0)
"""
SAME = "{'z': inputs['v']}"
VECTORS_STORE = """
if core.is_vector:
    t = core.tensor("t", Space.UB, (1, 1024), fp32)
    asc.duplicate(t, 1.0)
    order(Pipe.V, Pipe.MTE3)
    asc.data_copy(gm.w[core.sub : core.sub + 1, :], t)
"""
CUBE_LOADS = """
else:
    l1 = core.tensor("l1", Space.L1, (2, 1024), fp32)
    asc.cross_core_wait_flag(0)  # here
    asc.data_copy(l1, gm.w)
"""
WORKSPACE = "gm.workspace('w', (2, 1024), fp32)"

OF_ONE_CORE = (
    Pair(
        "a wait without a set",
        "deadlock",
        TILE
        + """
asc.data_copy(t, gm.v)
- asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)  # here
asc.data_copy(gm.z, t)
""",
        (
            "here: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 0, and "
            "no such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait [deadlock]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a wait for another id",
        "deadlock",
        TILE
        + """
asc.data_copy(t, gm.v)
asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)  # there
- asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)
+ asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 1)  # here
asc.data_copy(gm.z, t)
""",
        (
            "here: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 1, and "
            "no such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait; kernel.py:... "
            "sets PIPE_MTE2->PIPE_MTE3, id 0, which nobody waits for: is one of the ids wrong? [deadlock]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a set for another pipe",
        "deadlock",
        TILE
        + """
asc.data_copy(t, gm.v)
- asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
+ asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # there
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)  # here
asc.data_copy(gm.z, t)
""",
        (
            "here: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 0, and "
            "no such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait; kernel.py:... "
            "sets PIPE_MTE2->PIPE_V, id 0, which nobody waits for: is one of the pipes wrong? [deadlock]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a loop that waits before anybody has set",
        "deadlock",
        TILE + "- asc.set_flag(Pipe.MTE3, Pipe.MTE2, 0)" + BOTH_WAYS + "asc.wait_flag(Pipe.MTE3, Pipe.MTE2, 0)",
        (
            "here: deadlock on die0.core0.veccore0: PIPE_MTE2 waits for set_flag PIPE_MTE3->PIPE_MTE2, id 0; the "
            "next one is at kernel.py:..., which stands behind this wait in program order: move it before the "
            "wait, or raise the flag once at the start; PIPE_MTE3 waits at kernel.py:... for set_flag "
            "PIPE_MTE2->PIPE_MTE3, id 0 [deadlock]",
            "there: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 0; the"
            " next one is at kernel.py:..., which its own pipe has not reached: move it before the wait, or raise"
            " the flag once at the start; PIPE_MTE2 waits at kernel.py:... for set_flag PIPE_MTE3->PIPE_MTE2, id "
            "0 [deadlock]",
            "here: deadlock chain on die0.core0.veccore0: PIPE_MTE2 (kernel.py:...) waits for PIPE_MTE3, "
            "PIPE_MTE3 (kernel.py:...) waits for PIPE_MTE2 [deadlock]",
        ),
        outputs=SAME,
    ),
    Pair(
        "two pipes that wait for each other",
        "deadlock",
        TILE
        + """
asc.data_copy(t, gm.v)
- asc.set_flag(Pipe.MTE2, Pipe.V, 0)
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # here
asc.adds(t, t, 1.0)
asc.set_flag(Pipe.V, Pipe.MTE2, 0)
asc.wait_flag(Pipe.V, Pipe.MTE2, 0)  # there
+ asc.set_flag(Pipe.MTE2, Pipe.V, 0)
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, t)
""",
        (
            "there: deadlock on die0.core0.veccore0: PIPE_MTE2 waits for set_flag PIPE_V->PIPE_MTE2, id 0; the "
            "next one is at kernel.py:..., which its own pipe has not reached: move it before the wait, or raise "
            "the flag once at the start; PIPE_V waits at kernel.py:... for set_flag PIPE_MTE2->PIPE_V, id 0 "
            "[deadlock]",
            "here: deadlock on die0.core0.veccore0: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; the next "
            "one is at kernel.py:..., which stands behind this wait in program order: move it before the wait, or"
            " raise the flag once at the start; PIPE_MTE2 waits at kernel.py:... for set_flag PIPE_V->PIPE_MTE2, "
            "id 0 [deadlock]",
            "kernel.py:...: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_V->PIPE_MTE3, id "
            "0; ... [deadlock]",
            "here: deadlock chain on die0.core0.veccore0: PIPE_V (kernel.py:...) waits for PIPE_MTE2, PIPE_MTE2 "
            "(kernel.py:...) waits for PIPE_V [deadlock]",
        ),
        tensors=COPY,
        outputs="{'z': inputs['v'] + 1}",
    ),
    Pair(
        "a barrier behind a pipe that is blocked",
        "deadlock",
        TILE
        + """
asc.data_copy(t, gm.v)
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)  # here
+ asc.pipe_barrier(Pipe.ALL)  # there
asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
asc.data_copy(gm.z, t)
""",
        (
            "there: deadlock on die0.core0.veccore0: PIPE_S (barrier) waits for all pipes to finish, and one of "
            "them is blocked itself; PIPE_MTE3 waits at kernel.py:... for set_flag PIPE_MTE2->PIPE_MTE3, id 0 "
            "[deadlock]",
            "here: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 0; the "
            "next one is at kernel.py:..., which stands behind this wait in program order: move it before the "
            "wait, or raise the flag once at the start; it has not been issued, since the scalar unit is held at "
            "kernel.py:... by a PIPE_ALL barrier [deadlock]",
            "here: deadlock chain on die0.core0.veccore0: PIPE_MTE3 (kernel.py:...) waits for PIPE_S, PIPE_S "
            "(kernel.py:...) waits for PIPE_MTE3 [deadlock]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "more instructions than a queue holds before the set",
        "deadlock",
        TILE
        + """
asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # here
- for _ in range(20):
+ for _ in range(40):
    asc.duplicate(t[:64], 1.0)  # there
asc.set_flag(Pipe.MTE2, Pipe.V, 0)
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z[:64], t[:64])
""",
        (
            "here: deadlock on die0.core0.veccore0: PIPE_V waits for set_flag PIPE_MTE2->PIPE_V, id 0; the next "
            "one is at kernel.py:..., which stands behind this wait in program order: move it before the wait, or"
            " raise the flag once at the start; it has not been issued, since the scalar unit is held at "
            "kernel.py:... by a full queue of PIPE_V (depth 32) [deadlock]",
            "here: deadlock chain on die0.core0.veccore0: PIPE_V (kernel.py:...) waits for PIPE_S, PIPE_S "
            "(kernel.py:..., full queue of PIPE_V) waits for PIPE_V [deadlock]",
        ),
        tensors="gm.output('z', (64,), fp32)",
        outputs="{'z': np.ones(64)}",
        auto_barrier=False,
    ),
    Pair(
        "a tile that is never finished",
        "deadlock",
        HANDED_OVER
        + """
- asc.mmad(l0c, l0a, l0b, init=True, last=True)
+ asc.mmad(l0c, l0a, l0b, init=True)
asc.fixpipe(gm.c, l0c)  # here
""",
        (
            "here: deadlock on die0.core0.cubecore0: PIPE_FIX waits for the unit_flag handshake of its L0C tile: "
            "an mmad with last=True must finish a tile before its fixpipe, and a fixpipe must drain it before the"
            " next mmad with init=True; no mmad with last=True on this tile is left in the program [deadlock]",
        ),
        cores="cube",
        tensors=CUBE,
        outputs="{'c': inputs['a'] @ inputs['b']}",
    ),
)

BETWEEN_CORES = (
    Pair(
        "a cross-core wait without a set",
        "deadlock",
        VECTORS_STORE + "    - asc.cross_core_set_flag(0, Pipe.MTE3)" + CUBE_LOADS,
        (
            "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 0, mode 2, from its "
            "vector core 0, its vector core 1: set it on the vector core once for each wait; no such set is left "
            "on its vector core 0, its vector core 1 [deadlock]",
        ),
        cores="mix",
        tensors=WORKSPACE,
    ),
    Pair(
        "one of two vector cores sets",
        "deadlock",
        VECTORS_STORE
        + """
    - if core.sub < 2:
    + if core.sub == 0:
        asc.cross_core_set_flag(0, Pipe.MTE3)
"""
        + CUBE_LOADS,
        (
            "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 0, mode 2, from its "
            "vector core 1: set it on the vector core once for each wait; no such set is left on its vector core "
            "1; vector core 0 sets it 1 time, vector core 1 0 times [deadlock]",
        ),
        cores="mix",
        tensors=WORKSPACE,
    ),
    Pair(
        "a cross-core set in another mode",
        "deadlock",
        VECTORS_STORE
        + """
    - asc.cross_core_set_flag(0, Pipe.MTE3)
    + asc.cross_core_set_flag(0, Pipe.MTE3, mode=1)  # there
"""
        + CUBE_LOADS,
        (
            "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 0, mode 2, from its "
            "vector core 0, its vector core 1: set it on the vector core once for each wait; no such set is left "
            "on its vector core 0, its vector core 1; kernel.py:... sets cross-core flag 0, mode 1, which nobody "
            "waits for: is one of the modes wrong? [deadlock]",
        ),
        cores="mix",
        tensors=WORKSPACE,
    ),
    Pair(
        "two kinds of cores that wait for each other",
        "deadlock",
        """
        if core.is_cube:
            - asc.cross_core_set_flag(1, Pipe.FIX)
            asc.cross_core_wait_flag(0)  # here
            + asc.cross_core_set_flag(1, Pipe.FIX)
        else:
            asc.cross_core_wait_flag(1)  # there
            asc.cross_core_set_flag(0, Pipe.MTE3)
        """,
        (
            "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 0, mode 2, from its "
            "vector core 0, its vector core 1: set it on the vector core once for each wait; the next one of its "
            "vector core 0, its vector core 1 is at kernel.py:...: it has not been issued, since the scalar unit "
            "there is held at kernel.py:... by cross_core_wait_flag 1, mode 2 [deadlock]",
            "there: deadlock on die0.core0.veccore0 and 1 more: PIPE_S waits for cross_core_set_flag 1, mode 2, "
            "from its cube core: set it on the cube core once for each wait; the next one of its cube core is at "
            "kernel.py:...: it has not been issued, since the scalar unit there is held at kernel.py:... by "
            "cross_core_wait_flag 0, mode 2 [deadlock]",
            "here: deadlock chain on die0.core0.cubecore0: PIPE_S (kernel.py:...) waits for PIPE_S of its vector "
            "core 0, PIPE_S of its vector core 0 (kernel.py:...) waits for PIPE_S [deadlock]",
        ),
        cores="mix",
        tensors=WORKSPACE,
    ),
    Pair(
        "a block that leaves before the others",
        "deadlock",
        """
        t = core.tensor("t", Space.UB, (1, 1024), fp32)
        asc.duplicate(t, 1.0)
        order(Pipe.V, Pipe.MTE3)
        asc.data_copy(gm.w[core.index : core.index + 1, :], t)
        - if core.index < 2:
        + if core.index == 0:
            asc.cross_core_set_flag(0, Pipe.MTE3, mode=0)
        asc.cross_core_wait_flag(0, mode=0)  # here
        """,
        (
            "here: deadlock on die0.core0.veccore0 and 1 more: PIPE_S waits for cross_core_set_flag 0, mode 0, "
            "from die0.core0.veccore1: set it on the vector core once for each wait; no such set is left on "
            "die0.core0.veccore1 [deadlock]",
        ),
        blocks=2,
        tensors=WORKSPACE,
    ),
)

PAIRS = (*OF_ONE_CORE, *BETWEEN_CORES)
