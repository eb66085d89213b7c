"""Races between cores: cube and vector cores, the vector cores of a group, blocks, dies, and atomic additions."""

from __future__ import annotations

from safety_pairs.case import MIX, Pair

CUBE_TO_VECTORS = """
if core.is_cube:
    left = core.tensor("left", Space.L1, (64, 64), fp16)
    right = core.tensor("right", Space.L1, (64, 64), fp16)
    l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
    l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
    l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
    asc.data_copy(left, gm.a)
    asc.data_copy(right, gm.b)
    order(Pipe.MTE2, Pipe.MTE1)
    asc.load_data(l0a, left)
    asc.load_data(l0b, right)
    order(Pipe.MTE1, Pipe.M)
    asc.mmad(l0c, l0a, l0b, init=True)
    order(Pipe.M, Pipe.FIX)
"""
VECTOR_PART = """
else:
    rows = slice(32 * core.sub, 32 * core.sub + 32)
    t = core.tensor("t", Space.UB, (32, 64), fp32)
"""
PRODUCT = "{'y': inputs['a'] @ inputs['b']}"
TO_CUBE = """
gm.input("v", (2, 4096), fp16)
gm.workspace("w", (64, 128), fp16)
gm.output("c", (64, 64), fp32)
"""
CUBE_READS = """
    left = core.tensor("left", Space.L1, (64, 128), fp16)
    l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
    l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
    l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)
"""
SQUARE = """
    order(Pipe.MTE2, Pipe.MTE1)
    asc.load_data(l0a, left[:, :64])
    asc.load_data(l0b, left[:, 64:])
    order(Pipe.MTE1, Pipe.M)
    asc.mmad(l0c, l0a, l0b, init=True)
    order(Pipe.M, Pipe.FIX)
    asc.fixpipe(gm.c, l0c)
"""
SQUARED = """{'c': inputs['v'].reshape(64, 128)[:, :64] @ inputs['v'].reshape(64, 128)[:, 64:]}"""
TWO_ROWS = "gm.input('v', (2, 1024), fp32)\ngm.workspace('w', (2, 1024), fp32)\ngm.output('z', (2, 1024), fp32)"

IN_A_GROUP = (
    Pair(
        "vector cores read before the cube core has drained",
        "race",
        CUBE_TO_VECTORS
        + """
    + asc.cross_core_set_flag(0, Pipe.FIX)
    asc.fixpipe(gm.w, l0c)
    - asc.cross_core_set_flag(0, Pipe.FIX)
"""
        + VECTOR_PART
        + """
    asc.cross_core_wait_flag(0)
    asc.data_copy(t, gm.w[rows, :])  # here
    order(Pipe.MTE2, Pipe.MTE3)
    asc.data_copy(gm.y[rows, :], t)
""",
        (
            "here: race in GM 'w', bytes 0x6000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_FIX fixpipe "
            "(kernel.py:...) on die0.core0.cubecore0 writes (read after write), and nothing orders the two; write"
            " cross_core_set_flag(id, Pipe.FIX) after line ... on the cube core and cross_core_wait_flag(id) "
            "before line ... on the vector core (first on ...) (2 times) [race]",
        ),
        cores="mix",
        tensors=MIX,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "vector cores wait after they have read",
        "race",
        CUBE_TO_VECTORS
        + """
    asc.fixpipe(gm.w, l0c)
    asc.cross_core_set_flag(0, Pipe.FIX)
"""
        + VECTOR_PART
        + """
    - asc.cross_core_wait_flag(0)
    asc.data_copy(t, gm.w[rows, :])  # here
    + asc.cross_core_wait_flag(0)
    order(Pipe.MTE2, Pipe.MTE3)
    asc.data_copy(gm.y[rows, :], t)
""",
        (
            "here: race in GM 'w', bytes 0x6000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_FIX fixpipe "
            "(kernel.py:...) on die0.core0.cubecore0 writes (read after write), and nothing orders the two; write"
            " cross_core_set_flag(id, Pipe.FIX) after line ... on the cube core and cross_core_wait_flag(id) "
            "before line ... on the vector core (first on ...) (2 times) [race]",
        ),
        cores="mix",
        tensors=MIX,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "a cross-core set on a pipe that has written nothing",
        "race",
        CUBE_TO_VECTORS
        + """
    asc.fixpipe(gm.w, l0c)
    - asc.cross_core_set_flag(0, Pipe.FIX)
    + asc.cross_core_set_flag(0, Pipe.M)
"""
        + VECTOR_PART
        + """
    asc.cross_core_wait_flag(0)
    asc.data_copy(t, gm.w[rows, :])  # here
    order(Pipe.MTE2, Pipe.MTE3)
    asc.data_copy(gm.y[rows, :], t)
""",
        (
            "here: race in GM 'w', bytes 0x6000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_FIX fixpipe "
            "(kernel.py:...) on die0.core0.cubecore0 writes (read after write), and nothing orders the two; write"
            " cross_core_set_flag(id, Pipe.FIX) after line ... on the cube core and cross_core_wait_flag(id) "
            "before line ... on the vector core (first on ...) (2 times) [race]",
        ),
        cores="mix",
        tensors=MIX,
        outputs=PRODUCT,
        changes=True,
    ),
    Pair(
        "the cube core reads before the vector cores have stored",
        "race",
        """
if core.is_cube:
"""
        + CUBE_READS
        + """
    - asc.cross_core_wait_flag(0)
    asc.data_copy(left, gm.w)  # here
    + asc.cross_core_wait_flag(0)
"""
        + SQUARE
        + """
else:
    t = core.tensor("t", Space.UB, (1, 4096), fp16)
    asc.data_copy(t, gm.v[core.sub : core.sub + 1, :])
    order(Pipe.MTE2, Pipe.MTE3)
    asc.data_copy(gm.w.reshape(2, 4096)[core.sub : core.sub + 1, :], t)
    asc.cross_core_set_flag(0, Pipe.MTE3)
""",
        (
            "here: race in GM 'w', bytes 0x4000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (read after write), and nothing orders the two; write "
            "cross_core_set_flag(id, Pipe.MTE3) after line ... on the vector core and cross_core_wait_flag(id) "
            "before line ... on the cube core (first on ...) (2 times) [race]",
        ),
        cores="mix",
        tensors=TO_CUBE,
        outputs=SQUARED,
        changes=True,
    ),
    Pair(
        "a cross-core set on the pipe that loads",
        "race",
        """
if core.is_cube:
"""
        + CUBE_READS
        + """
    asc.cross_core_wait_flag(0)
    asc.data_copy(left, gm.w)  # here
"""
        + SQUARE
        + """
else:
    t = core.tensor("t", Space.UB, (1, 4096), fp16)
    asc.data_copy(t, gm.v[core.sub : core.sub + 1, :])
    order(Pipe.MTE2, Pipe.MTE3)
    asc.data_copy(gm.w.reshape(2, 4096)[core.sub : core.sub + 1, :], t)
    - asc.cross_core_set_flag(0, Pipe.MTE3)
    + asc.cross_core_set_flag(0, Pipe.MTE2)
""",
        (
            "here: race in GM 'w', bytes 0x4000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (read after write), and nothing orders the two; write "
            "cross_core_set_flag(id, Pipe.MTE3) after line ... on the vector core and cross_core_wait_flag(id) "
            "before line ... on the cube core (first on ...) [race]",
        ),
        cores="mix",
        tensors=TO_CUBE,
        outputs=SQUARED,
        changes=True,
    ),
    Pair(
        "a vector core reads what its neighbour has not stored",
        "race",
        """
        if core.is_vector:
            t = core.tensor("t", Space.UB, (1, 1024), fp32)
            mine, other = slice(core.sub, core.sub + 1), slice(1 - core.sub, 2 - core.sub)
            asc.data_copy(t, gm.v[mine, :])
            order(Pipe.MTE2, Pipe.MTE3)
            asc.data_copy(gm.w[mine, :], t)
            order(Pipe.MTE3, Pipe.MTE2)
            asc.cross_core_set_flag(1, Pipe.MTE3, mode=1)
            - asc.cross_core_wait_flag(1, mode=1)
            asc.data_copy(t, gm.w[other, :])  # here
            + asc.cross_core_wait_flag(1, mode=1)
            order(Pipe.MTE2, Pipe.MTE3)
            asc.data_copy(gm.z[mine, :], t)
        """,
        (
            "here: race in GM 'w', bytes 0x3000 to 0x4000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore1 writes (read after write), and nothing orders the two; let both "
            "vector cores of a group run cross_core_set_flag(id, Pipe.MTE3, mode=1) after line ... and "
            "cross_core_wait_flag(id, mode=1) before line ..., those that have nothing to do there as well (first on "
            "...) (2 times) [race]",
        ),
        cores="mix",
        tensors=TWO_ROWS,
        outputs="{'z': inputs['v'][::-1]}",
        changes=True,
        hidden=True,
    ),
)

BETWEEN_GROUPS = (
    Pair(
        "a core reads the part of another block too early",
        "race",
        """
        t = core.tensor("t", Space.UB, (1, 1024), fp32)
        mine, other = slice(core.index, core.index + 1), slice(1 - core.index, 2 - core.index)
        asc.data_copy(t, gm.v[mine, :])
        order(Pipe.MTE2, Pipe.MTE3)
        + asc.cross_core_set_flag(0, Pipe.MTE3, mode=0)
        asc.data_copy(gm.w[mine, :], t)
        order(Pipe.MTE3, Pipe.MTE2)
        - asc.cross_core_set_flag(0, Pipe.MTE3, mode=0)
        asc.cross_core_wait_flag(0, mode=0)
        asc.data_copy(t, gm.w[other, :])  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z[mine, :], t)
        """,
        (
            "here: race in GM 'w', bytes 0x2000 to 0x3000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (read after write), and nothing orders the two; let both "
            "vector cores of a group run cross_core_set_flag(id, Pipe.MTE3, mode=1) after line ... and "
            "cross_core_wait_flag(id, mode=1) before line ..., those that have nothing to do there as well (first on "
            "...) (2 times) [race]",
        ),
        blocks=2,
        tensors=TWO_ROWS,
        outputs="{'z': inputs['v'][::-1]}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "cube cores exchange tiles without waiting",
        "race",
        """
        l1 = core.tensor("l1", Space.L1, (64, 64), fp16)
        l0a = core.tensor("l0a", Space.L0A, (64, 64), fp16)
        l0b = core.tensor("l0b", Space.L0B, (64, 64), fp16)
        l0c = core.tensor("l0c", Space.L0C, (64, 64), fp32)

        def multiply(source, destination, event):
            asc.data_copy(l1, source)  # here
            order(Pipe.MTE2, Pipe.MTE1, event)
            asc.load_data(l0a, l1)
            asc.load_data(l0b, l1)
            order(Pipe.MTE1, Pipe.M, event)
            asc.mmad(l0c, l0a, l0b, init=True)
            order(Pipe.M, Pipe.FIX, event)
            asc.fixpipe(destination, l0c)

        mine, other = slice(64 * core.index, 64 * core.index + 64), slice(64 - 64 * core.index, 128 - 64 * core.index)
        multiply(gm.a[mine, :], gm.w[mine, :], 0)
        asc.pipe_barrier(Pipe.ALL)
        asc.cross_core_set_flag(0, Pipe.FIX, mode=0)
        - asc.cross_core_wait_flag(0, mode=0)
        multiply(gm.w[other, :], gm.c[mine, :], 1)
        + asc.cross_core_wait_flag(0, mode=0)
        """,
        (
            "here: race in GM 'w', bytes 0x6000 to 0x8000: PIPE_MTE2 data_copy reads what PIPE_FIX fixpipe "
            "(kernel.py:...) on die0.core1.cubecore0 writes (read after write), and nothing orders the two; let every "
            "cube core run cross_core_set_flag(id, Pipe.FIX, mode=0) after line ... and "
            "cross_core_wait_flag(id, mode=0) before line ..., those that have nothing to do there as well (first on "
            "...) (2 times) [race]",
        ),
        cores="cube",
        blocks=2,
        tensors="""
        gm.input("a", (128, 64), fp16)
        gm.workspace("w", (128, 64), fp16)
        gm.output("c", (128, 64), fp32)
        """,
    ),
    Pair(
        "blocks that write the same rows",
        "race",
        """
        t = core.tensor("t", Space.UB, (1, 1024), fp32)
        asc.duplicate(t, float(core.index))
        order(Pipe.V, Pipe.MTE3)
        - asc.data_copy(gm.z[core.index : core.index + 1, :], t)
        + asc.data_copy(gm.z[:1, :], t)  # here
        """,
        (
            "here: race in GM 'z', bytes 0x0 to 0x1000: PIPE_MTE3 data_copy writes what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (write after write), and nothing orders the two; both "
            "cores come to this line: give each of them a part of its own, or add with atomic_add (first on ...) "
            "[race]",
        ),
        blocks=2,
        tensors="gm.output('z', (2, 1024), fp32)",
        outputs="{'z': np.repeat([[0.0], [1.0]], 1024, axis=1)}",
        changes=True,
    ),
    Pair(
        "rows dealt out with an overlap",
        "race",
        """
        t = core.tensor("t", Space.UB, (4, 1024), fp32)
        asc.duplicate(t, float(core.index))
        order(Pipe.V, Pipe.MTE3)
        - first = 4 * core.index
        + first = 3 * core.index
        asc.data_copy(gm.z[first : first + 4, :], t)  # here
        """,
        (
            "here: race in GM 'z', bytes 0x3000 to 0x7000: PIPE_MTE3 data_copy writes what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (write after write), and nothing orders the two; both "
            "cores come to this line: give each of them a part of its own, or add with atomic_add (first on ...) "
            "[race]",
        ),
        blocks=2,
        tensors="gm.output('z', (8, 1024), fp32)",
        outputs="{'z': np.repeat([[0.0], [1.0]], 4 * 1024, axis=1).reshape(8, 1024)}",
        changes=True,
    ),
    Pair(
        "a vector core of another group",
        "race",
        """
        if core.is_vector and core.sub == 0:
            t = core.tensor("t", Space.UB, (1, 1024), fp32)
            asc.duplicate(t, 1.0)
            order(Pipe.V, Pipe.MTE3)
            asc.data_copy(gm.w[core.index : core.index + 1, :], t)
            asc.cross_core_set_flag(0, Pipe.MTE3)
        elif core.is_vector:
            asc.cross_core_set_flag(0, Pipe.MTE3)
        else:
            l1 = core.tensor("l1", Space.L1, (1, 1024), fp32)
            asc.cross_core_wait_flag(0)
            - row = core.index
            + row = 1 - core.index
            asc.data_copy(l1, gm.w[row : row + 1, :])  # here
        """,
        (
            "here: race in GM 'w', bytes 0x1000 to 0x2000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core1.veccore0 writes (read after write), and nothing orders the two; no "
            "flag joins a cube core with vector cores of another group: join the groups with mode=0 flags on one "
            "kind of core, and go on inside the group with mode=2 (first on ...) (2 times) [race]",
        ),
        cores="mix",
        blocks=2,
        tensors="gm.workspace('w', (2, 1024), fp32)",
    ),
    Pair(
        "dies that share a tensor",
        "race",
        """
        t = core.tensor("t", Space.UB, (1, 1024), fp32)
        asc.duplicate(t, 1.0)
        order(Pipe.V, Pipe.MTE3)
        - die = core.index // core.die_blocks
        + die = 0
        if core.index % core.die_blocks == 0:
            asc.data_copy(gm.z[die : die + 1, :], t)  # here
        """,
        (
            "here: race in GM 'z', bytes 0x0 to 0x1000: PIPE_MTE3 data_copy writes what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (write after write), and nothing orders the two; dies "
            "share neither memory nor flags: give each die data of its own (first on ...) [race]",
        ),
        chip="ascend910c",
        blocks=49,
        tensors="gm.output('z', (2, 1024), fp32)",
    ),
)

ATOMIC = (
    Pair(
        "exponents and numbers are added without order",
        "race",
        """
        if core.is_vector and core.sub == 0:
            one = core.tensor("one", Space.UB, 1024, fp32)
            asc.duplicate(one, 1.0)
            order(Pipe.V, Pipe.MTE3)
            asc.data_copy(gm.z, one)
            asc.pipe_barrier(Pipe.MTE3)
            asc.data_copy(gm.z, one, atomic_add=True)
            asc.cross_core_set_flag(0, Pipe.MTE3, mode=1)
            asc.cross_core_wait_flag(0, mode=1)
        elif core.is_vector:
            step = core.tensor("step", Space.UB, 1024, int32)
            asc.duplicate(step, 1 << 23)
            order(Pipe.V, Pipe.MTE3)
            asc.cross_core_set_flag(0, Pipe.MTE3, mode=1)
            - asc.cross_core_wait_flag(0, mode=1)
            asc.data_copy(gm.z.reinterpret(int32), step, atomic_add=True)  # here
            + asc.cross_core_wait_flag(0, mode=1)
        """,
        (
            "here: race in GM 'z', bytes 0x0 to 0x1000: PIPE_MTE3 data_copy adds to what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 adds to (atomic additions of different formats), and nothing "
            "orders the two; let both vector cores of a group run "
            "cross_core_set_flag(id, Pipe.MTE3, mode=1) after line ... and "
            "cross_core_wait_flag(id, mode=1) before line ..., those that have nothing to do there as well (first on "
            "...) [race]",
        ),
        cores="mix",
        tensors="gm.output('z', (1024,), fp32)",
        outputs="{'z': np.full(1024, 4.0)}",
        changes=True,
    ),
    Pair(
        "additions to zeros that may come later",
        "race",
        """
        t = core.tensor("t", Space.UB, 1024, fp32)
        if core.index == 0:
            asc.duplicate(t, 0.0)
            order(Pipe.V, Pipe.MTE3)
            asc.data_copy(gm.z, t)
            order(Pipe.MTE3, Pipe.V)
        asc.duplicate(t, 1.0)
        order(Pipe.V, Pipe.MTE3, 1)
        asc.cross_core_set_flag(0, Pipe.MTE3, mode=0)
        - asc.cross_core_wait_flag(0, mode=0)
        asc.data_copy(gm.z, t, atomic_add=True)  # here
        + asc.cross_core_wait_flag(0, mode=0)
        """,
        (
            "here: race in GM 'z', bytes 0x0 to 0x1000: PIPE_MTE3 data_copy adds to what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore0 writes (write after write), and nothing orders the two; let both "
            "vector cores of a group run cross_core_set_flag(id, Pipe.MTE3, mode=1) after line ... and "
            "cross_core_wait_flag(id, mode=1) before line ..., those that have nothing to do there as well (first on "
            "...) [race]",
        ),
        blocks=2,
        tensors="gm.output('z', (1024,), fp32)",
        outputs="{'z': np.full(1024, 2.0)}",
        changes=True,
        hidden=True,
    ),
    Pair(
        "a sum is read before all have added",
        "race",
        """
        t = core.tensor("t", Space.UB, 1024, fp32)
        if core.index == 0:
            asc.duplicate(t, 0.0)
            order(Pipe.V, Pipe.MTE3)
            asc.data_copy(gm.w, t)
            order(Pipe.MTE3, Pipe.V)
        asc.duplicate(t, 1.0)
        order(Pipe.V, Pipe.MTE3, 1)
        asc.cross_core_set_flag(0, Pipe.MTE3, mode=0)
        asc.cross_core_wait_flag(0, mode=0)
        asc.data_copy(gm.w, t, atomic_add=True)
        asc.cross_core_set_flag(1, Pipe.MTE3, mode=0)
        order(Pipe.MTE3, Pipe.MTE2)
        - asc.cross_core_wait_flag(1, mode=0)
        if core.index == 0:
            asc.data_copy(t, gm.w)  # here
            order(Pipe.MTE2, Pipe.MTE3)
            asc.data_copy(gm.z, t)
        + asc.cross_core_wait_flag(1, mode=0)
        """,
        (
            "here: race in GM 'w', bytes 0x0 to 0x1000: PIPE_MTE2 data_copy reads what PIPE_MTE3 data_copy "
            "(kernel.py:...) on die0.core0.veccore1 adds to (read after write), and nothing orders the two; let both "
            "vector cores of a group run cross_core_set_flag(id, Pipe.MTE3, mode=1) after line ... and "
            "cross_core_wait_flag(id, mode=1) before line ..., those that have nothing to do there as well (first on "
            "...) [race]",
        ),
        blocks=2,
        tensors="gm.workspace('w', (1024,), fp32)\ngm.output('z', (1024,), fp32)",
        outputs="{'z': np.full(1024, 2.0)}",
        changes=True,
        hidden=True,
    ),
)

PAIRS = (*IN_A_GROUP, *BETWEEN_GROUPS, *ATOMIC)
