"""What makes a program slow, not wrong: barriers, flags that order nothing, small and misaligned moves, banks."""

from __future__ import annotations

from safety_pairs.case import Pair

COPY = "gm.input('v', (4096,), fp32)\ngm.output('z', (4096,), fp32)"
TWO = "gm.input('v', (2, 4096), fp32)\ngm.output('z', (2, 4096), fp32)"
SAME = "{'z': inputs['v']}"
TILE = 't = core.tensor("t", Space.UB, 4096, fp32)\n'

SYNCHRONISATION = (
    Pair(
        "a barrier where a flag would do",
        "barrier",
        TILE
        + """
asc.data_copy(t, gm.v)
- order(Pipe.MTE2, Pipe.MTE3)
+ asc.pipe_barrier(Pipe.ALL)  # here
asc.data_copy(gm.z, t)
""",
        (
            "here: hint: pipe_barrier(Pipe.ALL) empties every pipe; set_flag and wait_flag between the two pipes "
            "that share the buffer let the others go on [barrier]",
        ),
        tensors=COPY,
        outputs=SAME,
    ),
    Pair(
        "a barrier of a pipe that is empty",
        "barrier",
        TILE
        + """
asc.data_copy(t, gm.v)
order(Pipe.MTE2, Pipe.V)
asc.adds(t, t, 1.0)
asc.pipe_barrier(Pipe.V)
+ asc.pipe_barrier(Pipe.V)  # here
asc.muls(t, t, 2.0)
order(Pipe.V, Pipe.MTE3)
asc.data_copy(gm.z, t)
""",
        (
            "here: hint: this pipe_barrier never orders anything: its pipe is known to be empty; it can go "
            "[barrier]",
        ),
        tensors=COPY,
        outputs="{'z': 2 * (inputs['v'] + 1)}",
        auto_barrier=False,
    ),
    Pair(
        "a flag that tells nothing new",
        "redundant-flag",
        """
        t = core.tensor("t", Space.UB, (2, 4096), fp32)
        asc.data_copy(t[:1, :], gm.v[:1, :])
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 0)
        asc.data_copy(t[1:, :], gm.v[1:, :])
        asc.set_flag(Pipe.MTE2, Pipe.MTE3, 1)
        + asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 1)
        asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 0)  # here
        asc.data_copy(gm.z[:1, :], t[:1, :])
        - asc.wait_flag(Pipe.MTE2, Pipe.MTE3, 1)
        asc.data_copy(gm.z[1:, :], t[1:, :])
        """,
        (
            "here: hint: this wait never adds anything: what the set at kernel.py:... says is known already when "
            "it comes; the pair can go [redundant-flag]",
        ),
        tensors=TWO,
        outputs=SAME,
    ),
    Pair(
        "sums in no fixed order",
        "atomic-order",
        """
        t = core.tensor("t", Space.UB, 4096, fp32)
        if core.index == 0:
            asc.duplicate(t, 0.0)
            order(Pipe.V, Pipe.MTE3)
            asc.data_copy(gm.z, t)
            order(Pipe.MTE3, Pipe.V)
        asc.duplicate(t, 1.0)
        order(Pipe.V, Pipe.MTE3, 1)
        for turn in range(3):
            - if core.index == turn - 1:
            + if turn == 1:
                asc.data_copy(gm.z, t, atomic_add=True)  # here
            asc.cross_core_set_flag(turn, Pipe.MTE3, mode=0)
            asc.cross_core_wait_flag(turn, mode=0)
        """,
        (
            "here: hint: data_copy adds fp32 numbers atomically to GM 'z', where data_copy (kernel.py:...) on "
            "die0.core0.veccore1 adds as well, in no fixed order: the last bits of the sums differ from run to "
            "run; if they must not, let one wait for the other, or add up partial sums in order [atomic-order]",
        ),
        blocks=2,
        tensors="gm.output('z', (4096,), fp32)",
        outputs="{'z': np.full(4096, 2.0)}",
    ),
    Pair(
        "a ring of one buffer",
        "single-buffer",
        """
        - slots = core.ring("slots", (Space.UB, 4096, fp32), buffers=2, fill=Pipe.MTE2, drain=Pipe.MTE3)
        + slots = core.ring("slots", (Space.UB, 4096, fp32), buffers=1, fill=Pipe.MTE2, drain=Pipe.MTE3)  # here
        for begin in (0, 4096):
            with slots.fill() as tile:
                asc.data_copy(tile, gm.v[begin : begin + 4096])
            with slots.take() as tile:
                asc.data_copy(gm.z[begin : begin + 4096], tile)
        """,
        (
            "here: hint: ring 'slots' has a single buffer: its fill pipe waits while it is drained, and the other"
            " way round; give it buffers=2 if the memory allows [single-buffer]",
        ),
        outputs=SAME,
    ),
)

MOVES = (
    Pair(
        "moves below 16 KB",
        "small-transfer",
        """
        - size = 4096
        + size = 1024
        slots = core.ring("slots", (Space.UB, size, fp32), fill=Pipe.MTE2, drain=Pipe.MTE3)
        for begin in range(0, 8192, size):
            with slots.fill() as tile:
                asc.data_copy(tile, gm.v[begin : begin + size])  # here
            with slots.take() as tile:
                asc.data_copy(gm.z[begin : begin + size], tile)  # there
        """,
        (
            "here: hint: data_copy on PIPE_MTE2 moves 4,096 B at a time (8 of 8 moves are below 16,384 B): the "
            "head of each move weighs more than its bytes; move larger tiles [small-transfer]",
            "there: hint: data_copy on PIPE_MTE3 moves 4,096 B at a time (8 of 8 moves are below 16,384 B): the "
            "head of each move weighs more than its bytes; move larger tiles [small-transfer]",
        ),
        outputs=SAME,
    ),
    Pair(
        "moves that begin off a line",
        "misaligned-transfer",
        """
        t = core.tensor("t", Space.UB, 8192, fp32)
        - first = 128
        + first = 8
        asc.data_copy(t[: 8192 - first], gm.v[first:])  # here
        order(Pipe.MTE2, Pipe.MTE3)
        asc.data_copy(gm.z[: 8192 - first], t[: 8192 - first])
        """,
        (
            "here: hint: data_copy on PIPE_MTE2 begins 1 of 1 moves at addresses of GM that are no multiple of "
            "512 B, which costs a line more each; pad the tensor or the tile [misaligned-transfer]",
        ),
        tensors="gm.input('v', (8192,), fp32)\ngm.workspace('z', (8192,), fp32)",
    ),
    Pair(
        "rows an even number of blocks apart",
        "bank-conflict",
        """
        - pitch = 136
        + pitch = 128
        t = core.tensor("t", Space.UB, (64, pitch), fp32)[:, :8]
        asc.duplicate(t, 1.0, blocks=True)  # here
        asc.muls(t, t, 2.0, blocks=True)  # there
        """,
        (
            "here: hint: duplicate loses 56 cycles to bank conflicts in UB: the 8 blocks of a repeat of 't' are "
            "written in 1 of 16 bank groups, since rows are 16 blocks apart; pad the tile from 128 to 136 "
            "columns, an odd number of blocks [bank-conflict]",
            "there: hint: muls loses 56 cycles to bank conflicts in UB: the 8 blocks of a repeat of 't' are "
            "written in 1 of 16 bank groups, since rows are 16 blocks apart; pad the tile from 128 to 136 "
            "columns, an odd number of blocks; the 8 blocks of a repeat of 't' are read in 1 of 16 bank groups, "
            "since rows are 16 blocks apart; pad the tile from 128 to 136 columns, an odd number of blocks "
            "[bank-conflict]",
        ),
        tensors=COPY,
    ),
)

PAIRS = (*SYNCHRONISATION, *MOVES)
