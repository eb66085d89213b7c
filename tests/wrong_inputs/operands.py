"""Kernels with buffers, windows or operands that the hardware would not accept."""

from __future__ import annotations

from wrong_inputs.case import Case, kernel

CUBE = """
l1 = core.tensor("l1", Space.L1, (64, 64), fp16)
a = core.tensor("a", Space.L0A, (32, 64), fp16)
b = core.tensor("b", Space.L0B, (64, 48), fp16)
c = core.tensor("c", Space.L0C, (32, 48), fp32)
"""
VECTOR = """
t = core.tensor("t", Space.UB, 64, fp32)
u = core.tensor("u", Space.UB, 64, fp32)
"""


def cube(name: str, line: str, *says: str) -> Case:
    """A kernel on a cube core that ends with *line*."""
    return kernel(name, f"{CUBE}{line}  # here", *says, cores="cube")


def vector(name: str, line: str, *says: str) -> Case:
    """A kernel on a vector core that ends with *line*."""
    return kernel(name, f"{VECTOR}{line}  # here", *says)


def overflow(space: str, shape: str, dtype: str, need: int, limit: int) -> Case:
    """A single buffer that is larger than its memory."""
    return kernel(
        f"a buffer larger than {space}",
        f'core.tensor("big", Space.{space}, {shape}, {dtype})  # here',
        f"here: {space} overflows at buffer 'big': it needs bytes 0 to {need}, the memory has {limit} B "
        f"(in use: big {need}); make tiles smaller or rings shallower; by address: 0 to {need} big "
        f"(kernel.py:...)",
        cores="cube",
    )


BUFFERS = (
    kernel(
        "buffers that overflow UB",
        """
        core.tensor("first", Space.UB, (256, 128), fp32)
        core.tensor("second", Space.UB, (256, 128), fp32)  # here
        """,
        "here: UB overflows at buffer 'second': it needs bytes 131072 to 262144, the memory has 196608 B "
        "(in use: first 131072, second 131072); make tiles smaller or rings shallower; by address: 0 to 131072 first "
        "(kernel.py:...); 131072 to 262144 second (kernel.py:...)",
    ),
    kernel(
        "a deep overflow",
        """
        core.ring("in", (Space.UB, (128, 128), fp32), buffers=4, fill=Pipe.MTE2, drain=Pipe.V)  # here
        core.tensor("behind", Space.UB, 4096, fp32)
        """,
        "here: UB overflows at buffer 'in[3]': it needs bytes 196608 to 262144, the memory has 196608 B (in use: "
        "in[0] 65536, in[1] 65536, in[2] 65536, in[3] 65536); make tiles smaller or rings shallower; by address: 0 to "
        "65536 in[0], 65536 to 131072 in[1], 131072 to 196608 in[2], 196608 to 262144 in[3] (kernel.py:...)",
    ),
    vector(
        "a buffer at no multiple of its alignment",
        'core.buffer("b", Space.UB, 64, at=100)',
        "here: buffer 'b': at=100 is not a multiple of 32 B, the alignment in UB; the nearest addresses are 96 and "
        "128",
    ),
    vector(
        "a buffer before the beginning",
        'core.buffer("b", Space.UB, 64, at=-32)',
        "here: buffer 'b': at=-32 is not a whole number of bytes from 0 on; use // to divide",
    ),
    kernel(
        "buffers that overlap",
        """
        core.buffer("a", Space.UB, 1024, at=0)
        core.buffer("b", Space.UB, 1024, at=512)  # here
        """,
        "here: buffer 'b' (bytes 512 to 1536, kernel.py:...) overlaps buffer 'a' (bytes 0 to 1024, kernel.py:...): "
        "place it at 1024 or behind, or lay tiles of both over one buffer with buffer.tile(..., start=)",
    ),
    overflow("L1", "(1024, 512)", "fp16", 1048576, 524288),
    overflow("L0A", "(256, 256)", "fp16", 131072, 65536),
    overflow("L0B", "(256, 256)", "fp16", 131072, 65536),
    overflow("L0C", "(256, 256)", "fp32", 262144, 131072),
    vector(
        "a buffer in GM",
        'core.tensor("g", Space.GM, 64, fp32)',
        "here: tensor 'g': tensors in GM are declared by the kernel's tensors function; use UB, L1 or L0 "
        "here",
    ),
    vector(
        "a memory in quotes",
        'core.tensor("g", "UB", 64, fp32)',
        "here: tensor 'g': the memory is 'UB'; write Space.UB, for example, instead",
    ),
    vector(
        "a buffer of half the bytes",
        'core.buffer("raw", Space.UB, 100 / 2)',
        "here: buffer 'raw': size 50.0 is not a positive whole number of bytes; use // to divide",
    ),
    vector(
        "a tile larger than its buffer",
        'core.buffer("raw", Space.UB, 256).tile((64, 64), fp32)',
        "here: tile [64, 64] fp32 does not fit into buffer 'raw' in UB: needs 16384 B, the buffer has 256 "
        "B; make the tile smaller or the buffer larger",
    ),
)

WINDOWS = (
    vector(
        "a slice beyond the end",
        "t[0:65]",
        "here: slice 0:65 of 't' axis 0 is not inside 0:64; slices must be ...",
    ),
    vector(
        "a slice from the end",
        "t[-8:]",
        "here: slice -8:64 of 't' axis 0 is not inside 0:64; slices must be ...",
    ),
    vector(
        "a slice with a step",
        "t[::2]",
        "here: slice 0:64:2 of 't' axis 0 is not inside 0:64; slices must be ... of step 1",
    ),
    vector(
        "an index for a slice",
        "gm.v[4]",
        "here: [4] is no window of 'v' axis 0; write begin:end with whole numbers (3:4 for item 3, and // "
        "to divide)",
    ),
    vector(
        "a slice of half the elements",
        "t[: 64 / 2]",
        "here: [:32.0] is no window of 't' axis 0; write begin:end with whole numbers (3:4 for item 3, and "
        "// to divide)",
    ),
    vector(
        "a slice of GM beyond the end",
        "gm.v[4000:5000]",
        "here: slice 4000:5000 of 'v' axis 0 is not inside 0:4096; ...",
    ),
    vector(
        "another element size",
        "t.reinterpret(fp16)",
        "here: 't' is fp32 (4 B an element), fp16 has 2 B; reinterpret keeps the element size, use cast to "
        "convert values",
    ),
)

MOVES = (
    vector(
        "a copy between two shapes",
        "asc.data_copy(t, gm.v[:128])",
        "here: data_copy: destination 't' has shape [64], source 'v' has [128]; they must agree",
    ),
    vector(
        "a copy between two formats",
        "asc.data_copy(t, gm.x[0:1, :64])",
        "here: data_copy: destination 't' has shape [64], source 'x' has [1, 64]; they must agree",
        "here: data_copy: source is fp16, destination is fp32; a move does not convert: declare both in one "
        "format (fixpipe and cast convert)",
    ),
    vector(
        "a copy to an odd address",
        "asc.data_copy(t[1:], gm.v[:63])",
        "here: data_copy: destination 't' begins at byte 0x4 of UB, which is not a multiple of 32 B; move "
        "the slice by 1 elements",
    ),
    vector(
        "rows that are no blocks",
        'asc.data_copy(core.tensor("rows", Space.UB, (8, 12), fp16), gm.x[:8, :12])',
        "here: data_copy: destination 'rows' has rows 24 B apart, which is not a multiple of 32 B; pad the "
        "tile to 16 columns",
    ),
    vector(
        "a copy from GM to GM",
        "asc.data_copy(gm.z, gm.v)",
        "here: data_copy moves between tensors of GM, L1 and UB, not GlobalTensor -> GlobalTensor; go through UB "
        "from GM to GM, and lay raw buffers out with tile(...)",
    ),
    vector(
        "an atomic add on fp16",
        'asc.data_copy(gm.x[:16, :16], core.tensor("h", Space.UB, (16, 16), fp16), atomic_add=True)',
        "here: data_copy: atomic add is available for fp32 and int32, not for fp16; cast first",
    ),
    vector(
        "an atomic load",
        "asc.data_copy(t, gm.v[:64], atomic_add=True)",
        "here: data_copy: atomic_add works on GM destinations only; drop it here",
    ),
    cube(
        "a copy from GM to L0A",
        "asc.data_copy(a, gm.x[:32, :64])",
        "here: data_copy: destination 'a' is in L0A; it must be in L1 or UB",
    ),
    cube(
        "load_data from a window of GM with gaps",
        "asc.load_data(a, gm.x[:32, :48])",
        "here: load_data: source 'x' [32, 48] must be 2048 elements without gaps, the fractals of 'a' [32, 64]",
    ),
    cube(
        "load_data from GM into a part of a tile",
        "asc.load_data(a[:16], gm.x[:16, :64])",
        "here: load_data: destination 'a' [16, 64] is not the whole of its tile of fractals, [32, 64]; fractals of GM "
        "fill a whole tile: load [32, 64] from GM",
    ),
    cube(
        "load_data from GM with transpose",
        "asc.load_data(a, gm.x[:32, :64], transpose=True)",
        "here: load_data: a tile is transposed on its way from L1, not from GM; store it transposed in GM",
    ),
    cube(
        "load_data from UB",
        'asc.load_data(a, core.tensor("u", Space.UB, (32, 64), fp16))',
        "here: load_data: source 'u' is in UB; it must be in L1",
        "here: load_data: source 'u' must be a tile of NZ fractals (two dimensions); it is ND with 2 "
        "dimension(s)",
    ),
    cube(
        "load_data from inside a fractal",
        "asc.load_data(a, l1[8:40])",
        "here: load_data: source 'l1' begins at element [8, 0], inside a fractal of 16x16 fp16; slice L1 "
        "tiles at multiples of 16 and 16",
    ),
    cube(
        "load_data of another shape",
        "asc.load_data(a, l1)",
        "here: load_data: source 'l1' [64, 64] (without transpose) does not make the destination 'a' [32, "
        "64]",
    ),
    cube(
        "fixpipe to L1",
        "asc.fixpipe(l1, c)",
        "here: fixpipe: destination is 'l1' in L1; write a tensor of GM instead",
    ),
    cube(
        "fixpipe to a format that it cannot make",
        "asc.fixpipe(gm.y[:32, :48].reinterpret(int32), c)",
        "here: fixpipe: cannot write fp32 of 'c' as int32; possible: fp32, bf16, fp16",
    ),
    cube(
        "fixpipe adds to fp16",
        "asc.fixpipe(gm.x[:32, :48], c, atomic_add=True)",
        "here: fixpipe: atomic add is available for fp32 and int32, not for fp16; cast first",
    ),
)

MATRICES = (
    cube(
        "mmad of shapes that do not fit",
        "asc.mmad(c, a, b[:32], init=True)",
        "here: mmad: shapes do not fit: left 'a' [32, 64] x right 'b' [32, 48] -> 'c' [32, 48]; write (m, "
        "k) x (k, n) -> (m, n)",
    ),
    cube(
        "mmad into fp16",
        'asc.mmad(core.tensor("h", Space.L0C, (32, 48), fp16), a, b, init=True)',
        "here: mmad: destination 'h' is fp16; fp16 products accumulate in fp32",
    ),
    cube(
        "mmad of two formats",
        'asc.mmad(c, a, core.tensor("h", Space.L0B, (64, 48), bf16), init=True)',
        "here: mmad: left is fp16, right is bf16; both must be the same of fp16, bf16, fp32, int8",
    ),
    cube(
        "mmad with left and right exchanged",
        "asc.mmad(c, b, a, init=True)",
        "here: mmad: left operand 'b' is in L0B; it must be in L0A",
        "here: mmad: right operand 'a' is in L0A; it must be in L0B",
        "here: mmad: shapes do not fit: ...",
    ),
    cube(
        "mmad on a raw buffer",
        'asc.mmad(c, core.buffer("raw", Space.L0A, 512), b, init=True)',
        "here: mmad: left operand is the raw buffer 'raw'; write a tile, buffer.tile((rows, columns), "
        "dtype), instead",
    ),
    kernel(
        "mmad of more than 4095 rows",
        """
        left = core.tensor("left", Space.L0A, (4096, 16), fp16)
        right = core.tensor("right", Space.L0B, (16, 16), fp16)
        asc.mmad(core.tensor("sums", Space.L0C, (4096, 16), fp32), left, right, init=True)  # here
        """,
        "here: mmad: m = 4096 is above the limit of 4095 of one mmad; split the tile",
        cores="cube",
        # No chip has buffers in which so many rows fit.
        command="run run.yaml --set chip.buffers.l0a_bytes=131072 --set chip.buffers.l0c_bytes=262144",
    ),
    kernel(
        "a vector instruction in a cube stage",
        """
        t = core.tensor("t", Space.UB, 64, fp32)

        @core.stage(AIC)
        def scale():
            asc.adds(t, t, 1.0)  # here

        scale()
        """,
        "here: adds (t[0:64]:fp32, t[0:64]:fp32, 1.0) belongs to aiv cores, this is an aic core; write it "
        "in a stage of the right kind",
        cores="mix",
    ),
    kernel(
        "a matrix instruction on a vector core",
        CUBE + "asc.mmad(c, a, b, init=True)  # here",
        "here: mmad (c[0:32,0:48]:fp32, a[0:32,0:64]:fp16, b[0:64,0:48]:fp16, init) belongs to aic cores, "
        "this is an aiv core; write it in a stage of the right kind",
    ),
)

VECTORS = (
    vector(
        "bf16 arithmetic",
        'asc.exp(core.tensor("h", Space.UB, 64, bf16), core.tensor("g", Space.UB, 64, bf16))',
        "here: exp: there is no bf16 form, only fp16, fp32; cast to fp32 first and back afterwards",
    ),
    vector(
        "a vector at an odd address",
        "asc.adds(t[1:], t[1:], 1.0)",
        "here: adds: destination 't' begins at byte 0x4 of UB, which is not a multiple of 32 B; move the "
        "slice by 1 elements",
        "here: adds: source 't' begins at byte 0x4 of UB, which is not a multiple of 32 B; move the slice "
        "by 1 elements",
    ),
    vector(
        "vectors of two lengths",
        "asc.add(t, u, u[:32])",
        "here: add: 'u' [32] must have the shape of 't' [64] or, for the second source, be (1, 8)",
    ),
    vector(
        "a vector in GM",
        "asc.add(t, u, gm.v[:64])",
        "here: add: operand 'v' is not a tensor in UB; lay a buffer out with tile(shape, dtype), fetch what "
        "is in GM with data_copy, and write numbers with the function for scalars",
    ),
    vector(
        "a vector for a scalar",
        "asc.adds(t, u, u)",
        "here: adds: scalar 'u' is not a number; write an int or a float",
    ),
    vector(
        "a scalar too large for fp16",
        'asc.muls(core.tensor("h", Space.UB, 64, fp16), core.tensor("g", Space.UB, 64, fp16), 1e6)',
        "here: muls: scalar 1000000.0 is above the largest fp16 number; use a wider format",
    ),
    vector(
        "a round mode in quotes",
        'asc.cast(t, u, "rint")',
        "here: cast: round mode 'rint' is not a RoundMode; write RoundMode.CAST_RINT, for example",
    ),
    vector(
        "a conversion that does not exist",
        'asc.cast(core.tensor("h", Space.UB, 64, int8), u, RoundMode.CAST_RINT)',
        "here: cast: fp32 sources give fp32 or fp16 or bf16 or int32 or int64, not int8; change the destination",
    ),
    vector(
        "a comparison that does not exist",
        'asc.compare(core.tensor("m", Space.UB, 8, uint8), t, u, "LESS")',
        "here: compare: comparison 'LESS' does not exist; write one of LT, GT, EQ, LE, GE, NE",
    ),
    vector(
        "a destination that overwrites its source",
        'w = core.tensor("w", Space.UB, 128, fp32); asc.adds(w[8:72], w[:64], 1.0)',
        "here: adds: destination 'w' and source 'w' overlap, the destination beginning 32 B behind the "
        "source; let both begin at the same element or use windows that share no byte",
    ),
    vector(
        "a reduction of long rows",
        'asc.whole_reduce_max(t[:8], core.tensor("w", Space.UB, (8, 128), fp32))',
        "here: whole_reduce_max: 'w' [8, 128] has 128 columns, but a repeat reduces at most 64; fold the "
        "columns with max, min or add to 64 first",
    ),
)

CASES = (*BUFFERS, *WINDOWS, *MOVES, *MATRICES, *VECTORS)
