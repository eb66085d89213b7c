"""Kernels with flags, rings or stages that do not fit together, and the deadlocks and wrong numbers that follow."""

from __future__ import annotations

from wrong_inputs.case import Case, kernel

REFERENCE = "def reference(inputs, p):\n    return {'y': 0 * inputs['x'], 'z': inputs['v']}\n"
TILE = 't = core.tensor("t", Space.UB, 4096, fp32)\n'
RING = 'r = core.ring("r", (Space.UB, 64, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)\n'


def line(name: str, text: str, *says: str, cores: str = "vector") -> Case:
    """A kernel of one line."""
    return kernel(name, f"{text}  # here", *says, cores=cores)


FLAGS = (
    line(
        "event id 8",
        "asc.set_flag(Pipe.MTE2, Pipe.V, 8)",
        "here: set_flag: event id 8 is outside 0..7; each pair of pipes has 8 event ids, use one of them "
        "again",
    ),
    line(
        "half an event id",
        "asc.wait_flag(Pipe.MTE2, Pipe.V, 0.5)",
        "here: wait_flag: the event id is 0.5; write a whole number instead",
    ),
    line(
        "a pipe in quotes",
        'asc.set_flag("MTE2", Pipe.V, 0)',
        "here: set_flag: the pipe is 'MTE2'; write Pipe.V, for example, instead",
    ),
    line(
        "a flag from a pipe to itself",
        "asc.set_flag(Pipe.S, Pipe.S, 0)",
        "here: set_flag: connects two different pipes, not PIPE_S and PIPE_S; use pipe_barrier to order one "
        "pipe",
    ),
    line(
        "a flag between pipes of two cores",
        "asc.set_flag(Pipe.M, Pipe.V, 0)",
        "here: set_flag (PIPE_M->PIPE_V, id 0) joins pipes that no core has together; use "
        "cross_core_set_flag from one core to another",
    ),
    line(
        "a flag of the other kind of core",
        "asc.set_flag(Pipe.M, Pipe.FIX, 0)",
        "here: set_flag (PIPE_M->PIPE_FIX, id 0) belongs to aic cores, this is an aiv core; write it in a "
        "stage of the right kind",
    ),
    line(
        "a barrier of the scalar unit",
        "asc.pipe_barrier(Pipe.S)",
        "here: pipe_barrier: PIPE_S has no barrier: the scalar unit works in order; name another pipe or "
        "PIPE_ALL",
    ),
    line(
        "a cross-core flag of the scalar unit",
        "asc.cross_core_set_flag(0, Pipe.S)",
        "here: cross_core_set_flag: cannot run on PIPE_S; name the pipe whose results the other core reads "
        "(PIPE_FIX on a cube core, PIPE_MTE3 on a vector core)",
    ),
    line(
        "cross-core flag 11",
        "asc.cross_core_wait_flag(11)",
        "here: cross_core_wait_flag: cross-core flag id 11 is outside 0..10, the ids open to kernels",
    ),
    line(
        "cross-core mode 3",
        "asc.cross_core_set_flag(0, Pipe.MTE3, mode=3)",
        "here: cross_core_set_flag: mode 3 does not exist; 0 joins all cores of one kind, 1 the vector "
        "cores of a group, 2 a cube core and its vector cores",
    ),
)

RINGS = (
    kernel(
        "flags with an id of a ring",
        """
        core.ring("in", (Space.UB, 64, fp32), fill=Pipe.MTE2, drain=Pipe.V)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # here
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)  # there
        """,
        "here: set_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in' (kernel.py:...); ids 2..7 are free: use one "
        "of them",
        "there: wait_flag: event id 0 PIPE_MTE2->PIPE_V belongs to ring 'in' (kernel.py:...); ids 2..7 are free: use "
        "one of them",
    ),
    kernel(
        "more event ids than there are",
        """
        core.ring("first", (Space.UB, 64, fp32), buffers=5, fill=Pipe.MTE2, drain=Pipe.V)
        core.ring("second", (Space.UB, 64, fp32), buffers=4, fill=Pipe.MTE2, drain=Pipe.V)  # here
        """,
        "here: ring 'second' needs 4 event ids PIPE_MTE2->PIPE_V, 3 of 8 are left (in use: first 5, second "
        "4); put operands that travel together into one ring, or use fewer buffers",
        "here: ring 'second' needs 4 event ids PIPE_V->PIPE_MTE2, 3 of 8 are left ...",
    ),
    line(
        "a ring without buffers",
        'core.ring("r", (Space.UB, 64, fp32), buffers=0, fill=Pipe.MTE2, drain=Pipe.V)',
        "here: ring 'r' has 1 parts and 0 buffers; it needs at least one of each",
    ),
    line(
        "a ring with more buffers than a pair of pipes has ids",
        'core.ring("r", (Space.UB, 64, fp32), buffers=100000, fill=Pipe.MTE2, drain=Pipe.V)',
        "here: ring 'r' has 100000 buffers: each takes an event id PIPE_MTE2->PIPE_V and one back, and there are 8 of "
        "each; use fewer buffers",
    ),
    line(
        "a ring under unit_flag with more buffers than fit",
        'core.ring("r", (Space.L0C, 64), buffers=100000, fill=Pipe.M, drain=Pipe.FIX, unit_flag=True)',
        "here: ring 'r' has 100000 buffers: L0C has room for 2048 at most; use fewer buffers",
        cores="cube",
    ),
    line(
        "a ring whose part is no tuple",
        'core.ring("r", Space.UB, 64, fp32, fill=Pipe.MTE2, drain=Pipe.V)',
        "here: ring 'r': part Space.UB is no buffer; write (space, bytes) or (space, shape, dtype)",
    ),
    line(
        "a ring of two kinds of cores",
        'core.ring("r", (Space.UB, 64), (Space.L1, 64), fill=Pipe.MTE2, drain=Pipe.V)',
        "here: ring 'r' has parts in UB, L1, on different kinds of cores; make a ring for each kind",
    ),
    line(
        "a ring between pipes of two cores",
        'core.ring("r", (Space.UB, 64, fp32), fill=Pipe.M, drain=Pipe.V)',
        "here: ring 'r' goes from PIPE_M to PIPE_V; buffers in UB go from one pipe to another one of "
        "PIPE_S, PIPE_MTE2, PIPE_V, PIPE_MTE3",
    ),
    kernel(
        "a slot taken before it was filled",
        RING + "r.deque()  # here",
        "here: ring 'r': take of a slot that nobody has filled before it in program order; fill the ring "
        "first",
    ),
    kernel(
        "a slot that nobody takes",
        """
        r = core.ring("r", (Space.UB, 64, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)  # here
        with r.fill() as tile:
            asc.data_copy(tile, gm.v[:64])
        """,
        "here: ring 'r': 1 slot(s) filled but never taken at the end of the kernel; take them",
    ),
    kernel(
        "more slots than the ring has",
        RING + "for _ in range(3):\n    r.alloc()  # here",
        "here: ring 'r': alloc of a slot number 3 while 2 of 2 are in use; take and free one first, or give "
        "the ring more buffers",
    ),
    kernel(
        "a ring of the other kind of core",
        """
        l1 = core.ring("l1", (Space.L1, (16, 16), fp16), fill=Pipe.MTE2, drain=Pipe.MTE1)

        @core.stage(AIV)
        def load():
            with l1.fill() as tile:  # here
                asc.data_copy(tile, gm.x[:16, :16])

        load()
        """,
        "here: ring 'l1': it belongs to the other kind of core; use it in a stage of that kind",
        cores="mix",
    ),
)

STAGES = (
    kernel(
        "a stage that uses a list",
        """
        sizes = [64]

        @core.stage(AIV)  # here
        def load():
            asc.data_copy(core.tensor("t", Space.UB, sizes[0], fp32), gm.v[: sizes[0]])

        load()
        """,
        "here: stage 'load' uses 'sizes', a list of the kernel: a stage is recorded once and would not see "
        "it change; pass it as an argument, or make it a tuple or a number",
    ),
    kernel(
        "a stage called with a list",
        """
        @core.stage(AIV)
        def load(sizes):
            pass

        load([64])  # here
        """,
        "here: stage 'load' is called with [64] (unhashable type: 'list'): a stage is recorded once for "
        "each set of arguments, which must not change; pass a tuple or numbers",
    ),
    kernel(
        "a stage called too early",
        """
        @core.stage(AIV)
        def load():
            asc.data_copy(later, gm.v[:64])

        load()  # here
        later = core.tensor("later", Space.UB, 64, fp32)
        """,
        "here: stage 'load' uses 'later', which has no value yet; assign it before the stage is called",
    ),
    kernel(
        "a stage of no kind",
        """
        @core.stage  # here
        def load():
            pass
        """,
        "here: core.stage: the kind of core is the function load; write @core.stage(AIC) or "
        "@core.stage(AIV) instead",
    ),
)

RUNNING = (
    kernel(
        "a wait without a set",
        TILE
        + """
asc.data_copy(t, gm.v)
asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 2)  # here
asc.data_copy(gm.z, t)
""",
        "here: deadlock on die0.core0.veccore0: PIPE_MTE3 waits for set_flag PIPE_MTE2->PIPE_MTE3, id 2, "
        "and no such set_flag is left in the program: add one on PIPE_MTE2, or remove this wait",
    ),
    kernel(
        "two cores that wait for each other",
        """
        if core.is_cube:
            asc.cross_core_wait_flag(1)  # here
            asc.cross_core_set_flag(0, Pipe.FIX)
        else:
            asc.cross_core_wait_flag(0)  # there
            asc.cross_core_set_flag(1, Pipe.MTE3)
        """,
        "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 1, mode 2, from "
        "its vector core 0, its vector core 1: set it on the vector core once for each wait; the next one of its "
        "vector core 0, its vector core 1 is at kernel.py:...: it has not been issued, since the scalar unit there is "
        "held at kernel.py:... by cross_core_wait_flag 0, mode 2",
        "there: deadlock on die0.core0.veccore0 and 1 more: PIPE_S waits for cross_core_set_flag 0, mode 2, "
        "from its cube core: set it on the cube core once for each wait; the next one of its cube core is at "
        "kernel.py:...: it has not been issued, since the scalar unit there is held at kernel.py:... by "
        "cross_core_wait_flag 1, mode 2",
        "here: deadlock chain on die0.core0.cubecore0: PIPE_S (kernel.py:...) waits for PIPE_S of its vector core 0, "
        "PIPE_S of its vector core 0 (kernel.py:...) waits for PIPE_S",
        cores="mix",
    ),
    kernel(
        "a wait for vector cores that are not there",
        """
        asc.cross_core_wait_flag(1)  # here
        """,
        "here: deadlock on die0.core0.cubecore0: PIPE_S waits for cross_core_set_flag 1, mode 2, but no core that "
        'this mode joins takes part in the kernel: write cores="mix" for cube cores with their vector cores, or '
        'another mode',
        cores="cube",
    ),
    kernel(
        "a flag set twice",
        """
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)
        asc.set_flag(Pipe.MTE2, Pipe.V, 0)  # here
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        asc.wait_flag(Pipe.MTE2, Pipe.V, 0)
        """,
        "here: set_flag PIPE_MTE2->PIPE_V, id 0, is set again before the wait_flag for the earlier set has "
        "passed: the flag is one bit, so one set is lost; wait for it first, or use another id (first on "
        "die0.core0.veccore0)",
    ),
    kernel(
        "a counter that overflows",
        """
        for _ in range(16):
            if core.is_cube:
                asc.cross_core_set_flag(0, Pipe.FIX)
            else:
                if _ == 0:
                    tile = core.tensor("tile", Space.UB, 4096, fp32)
                    asc.data_copy(tile, gm.v)
                    asc.set_flag(Pipe.MTE2, Pipe.S, 0)
                    asc.wait_flag(Pipe.MTE2, Pipe.S, 0)
                asc.cross_core_wait_flag(0)  # here
        """,
        "here: cross-core flag 0 had been set 16 times ahead of this wait; its counter holds 15: wait more "
        "often, or answer with a flag in the other direction (first on die0.core0.veccore0)",
        cores="mix",
    ),
    kernel(
        "a flag forgotten",
        TILE + "asc.data_copy(t, gm.v)\nasc.data_copy(gm.z, t)",
        "kernel.py: wrong numbers: output 'y' holds 16,384 values that are NaN or infinite; ...",
        "kernel.py: wrong numbers: output 'z' holds 4,096 values that are NaN or infinite; look for a "
        "missing flag or an uninitialised buffer; ...",
        command="run run.yaml --data",
        kernel_reference=REFERENCE,
    ),
    kernel(
        "a kernel that writes nothing",
        "pass",
        "kernel.py: wrong numbers: output 'y' holds 16,384 values that are NaN or infinite; ...",
        "kernel.py: wrong numbers: output 'z' holds 4,096 values that are NaN or infinite; ...",
        command="run run.yaml --data",
        kernel_reference=REFERENCE,
    ),
)

CASES = (*FLAGS, *RINGS, *STAGES, *RUNNING)
