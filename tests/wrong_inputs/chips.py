"""Chip files, chip sections and overrides that say something wrong."""

from __future__ import annotations

from wrong_inputs.case import Case
from wrong_inputs.run_files import AMLA, RUN, run

MINE = "name: Mine\nextends: ascend910b2\n"


def chip(name: str, text: str, *says: str, **more: str) -> Case:
    """A run on the chip file *text*; *more* are further chip files by name without ending."""
    files = {f"{stem}.yaml": content for stem, content in more.items()}
    return Case(
        name, says, {"run.yaml": RUN.replace("ascend910b2", "./mine.yaml"), "mine.yaml": text, **files}
    )


def changed(name: str, *says: str, changes: str, text: str = RUN) -> Case:
    """A run with the options *changes*."""
    return Case(name, says, {"run.yaml": text}, f"run run.yaml {changes}")


FILES = (
    chip(
        "a bare number",
        MINE + "sync:\n  event_ids: 4\n",
        "mine.yaml:4:14: sync.event_ids: a chip figure needs its source; write {value: 4, source: KEY, "
        "standing: measured} with a KEY of 'sources' instead",
    ),
    chip(
        "an unknown source",
        MINE + "dies: {value: 2, source: MSKK, standing: measured}\n",
        "mine.yaml:3:26: source 'MSKK' is not in the legend 'sources'; did you mean 'MSK'? (known sources: "
        "INI, ...)",
    ),
    chip(
        "no source and no standing",
        MINE + "dies: {value: 2}\n",
        "mine.yaml:3:7: missing key 'source' in section 'dies'; write 'source: ...' there",
        "mine.yaml:3:7: missing key 'standing' in section 'dies'; write 'standing: ...' there",
    ),
    chip(
        "a standing misspelt",
        MINE + "dies: {value: 2, source: MSK, standing: measurd}\n",
        "mine.yaml:3:41: dies.standing: must be one of 'vendor_file', 'measured', ... but it is "
        "\"measurd\"; did you mean 'measured'?",
    ),
    chip(
        "chips that extend each other",
        "name: Mine\nextends: ./other.yaml\n",
        "other.yaml:2:10: the chips extend each other: mine.yaml -> other.yaml -> mine.yaml; remove one "
        "'extends'",
        other="name: Other\nextends: ./mine.yaml\n",
    ),
    chip(
        "a base that does not exist",
        "name: Mine\nextends: ascend910z\n",
        "mine.yaml:2:10: there is no chip named 'ascend910z'; did you mean 'ascend910c'? ...",
    ),
    chip(
        "a unit that the key has not",
        MINE + "clock_mhz: {value: 1800, source: INI, standing: measured}\n",
        "mine.yaml:3:1: unknown key 'clock_mhz' at the top level; did you mean 'clock_hz'? ...",
    ),
    chip(
        "a unit in the value",
        MINE + "clock_hz: {value: 1.8GHz, source: INI, standing: measured}\n",
        'mine.yaml:3:19: clock_hz: expected a number, but "1.8GHz" is text; write a plain number, the unit '
        "is in the name of the key",
    ),
    chip(
        "mixed bandwidth above the pure one",
        MINE + "hbm:\n  mixed_bytes_per_second: {value: 2e12, source: INI, standing: measured}\n",
        "mine.yaml:4:35: hbm.mixed_bytes_per_second: must be at most hbm.bytes_per_second = 1.6e+12 bytes "
        "per second, but it is 2e+12; change both together",
    ),
    chip(
        "chains of vector instructions that end before they begin",
        MINE + "vector:\n  isolated_cycles: {value: 30, source: INI, standing: measured}\n",
        "mine.yaml:4:28: vector.isolated_cycles: must be at most 18 cycles, the least latency_cycles of "
        "vector.ops, but it is 30; change one of the two",
    ),
    chip(
        "more cycles than any run has",
        MINE + "paths:\n  gm_to_ub:\n    head_cycles: {value: 1e30, source: INI, standing: measured}\n",
        "mine.yaml:5:26: paths.gm_to_ub.head_cycles: must be at most 1000000000 cycles, but it is 1e+30",
    ),
    chip(
        "half a block of a buffer",
        MINE + "buffers:\n  l1_bytes: {value: 1000, source: INI, standing: measured}\n",
        "mine.yaml:4:21: buffers.l1_bytes: must be a multiple of vector.block_bytes = 32 bytes, but it is "
        "1000; write 992 or 1024 there, or change the other",
    ),
    chip(
        "a line that is no power of two",
        MINE + "l2:\n  line_bytes: {value: 500, source: INI, standing: measured}\n",
        "mine.yaml:4:23: l2.line_bytes: must be a power of two, but it is 500; write 256 or 512 instead",
    ),
    chip(
        "a figure of four and a half event ids",
        MINE + "sync:\n  event_ids: {value: 4.5, source: INI, standing: measured}\n",
        "mine.yaml:4:22: sync.event_ids: expected a whole number, but 4.5 is a number with a fraction or an "
        "exponent",
    ),
    chip(
        "cycles below 0",
        MINE + "sync:\n  set_flag_cycles: {value: -1, source: INI, standing: measured}\n",
        "mine.yaml:4:28: sync.set_flag_cycles: must be at least 0 cycles, but it is -1",
    ),
    chip(
        "a column of a vector row misspelt",
        MINE + "vector:\n  ops:\n    vadd:\n"
        "      fp32: {first_cycles: 3, further_cycle: 2.0, latency_cycles: 24, source: MSK, standing: measured}\n",
        "mine.yaml:6:31: unknown key 'further_cycle' in section 'vector.ops.vadd.fp32'; did you mean "
        "'further_cycles'? ...",
    ),
    chip(
        "a number for a section",
        MINE + "hbm: 1.6e12\n",
        "mine.yaml:3:6: hbm: expected a mapping of 'key: value' lines, but 1600000000000.0 is a number ...",
    ),
    run(
        "a chip section without a chip",
        RUN.replace("ascend910b2", "{dies: 2}"),
        "run.yaml:2:7: missing key 'extends' in section 'chip'; write 'extends: NAME' of a chip there",
    ),
    run(
        "terabytes in a chip section",
        RUN.replace("ascend910b2", "\n  extends: ascend910b2\n  hbm:\n    bytes_per_second: 1.6TB"),
        'run.yaml:5:23: hbm.bytes_per_second: expected a number, but "1.6TB" is text; write a plain number, '
        "the unit is in the name of the key",
    ),
)

OVERRIDES = (
    changed(
        "--set without =",
        "--set launch.blocks: there is no '=' in it; write --set section.key=VALUE, such as --set "
        "launch.blocks=24",
        changes="--set launch.blocks",
    ),
    changed(
        "--set without a value",
        "--set problem.length=: there is no value after '='; write problem.length=null for none",
        changes="--set problem.length=",
    ),
    changed(
        "--set with two values",
        "--set problem.length=1,2: VALUE '1,2' is not one value; write [1,2] for a list",
        changes="--set problem.length=1,2",
    ),
    changed(
        "--set with two dots",
        "--set problem..length=1: 'problem..length' is not a key such as section.key; write --set "
        "section.key=VALUE, ...",
        changes="--set problem..length=1",
    ),
    changed(
        "--set with a list left open",
        "--set problem.length=[1: VALUE '[1' cannot be read: not valid YAML: ...; write --set "
        "section.key=VALUE, ...",
        changes="--set problem.length=[1",
    ),
    changed(
        "--set of an unknown key",
        "--set launch.block=4: unknown key 'block' in section 'launch'; did you mean 'blocks'? (known keys: "
        "blocks)",
        changes="--set launch.block=4",
    ),
    changed(
        "--set of the wrong type",
        '--set problem.length=many: problem.length: expected a whole number, but "many" is text; ...',
        changes="--set problem.length=many",
    ),
    changed(
        "--set of an item of a list",
        "--set problem.kv_tokens.0=5: 'problem.kv_tokens' is a list, whose items have no keys; write the "
        "whole list: --set problem.kv_tokens=[700, 1500]",
        changes="--set problem.kv_tokens.0=5",
        text=AMLA,
    ),
    changed(
        "--set of an unknown figure of the chip",
        "--set chip.hbm.bytes_per_secnd=1: unknown key 'bytes_per_secnd' in section 'hbm'; did you mean "
        "'bytes_per_second'? ...",
        changes="--set chip.hbm.bytes_per_secnd=1",
    ),
    changed(
        "--set of an unknown format",
        "--set chip.vector.ops.vadd.fp23.first_cycles=3: unknown key 'fp23' in section 'vector.ops.vadd'; "
        "did you mean 'fp32'? ...",
        changes="--set chip.vector.ops.vadd.fp23.first_cycles=3",
    ),
    changed(
        "--set of the base of a chip",
        "--set chip.extends=ascend910c: 'extends' cannot be overridden; choose another chip with --set "
        "chip=NAME instead",
        changes="--set chip.extends=ascend910c",
    ),
    changed(
        "--set of an unknown program",
        "--set program=gem: there is no program named 'gem'; did you mean 'gemm'? ...",
        changes="--set program=gem",
    ),
    changed(
        "--set of too many blocks",
        "--set launch.blocks=5: launch.blocks = 5 is outside 1..4: Ascend910B2 has 4 blocks for a vector "
        "kernel",
        changes="--set chip.cores.aic_per_die=2 --set launch.blocks=5",
    ),
    changed(
        "--set of figures beyond any chip",
        "--set chip.buffers.l1_bytes=1e308: buffers.l1_bytes: must be at most 16777216 bytes, but it is ...",
        "--set chip.clock_hz=1e308: clock_hz: must be at most 1000000000000 Hz, but it is 1e+308",
        "--set chip.dies=1e300: dies: must be at most 1000, but it is ...",
        "--set chip.hbm.bytes_per_second=5e-324: hbm.bytes_per_second: must be at least 1e-06 bytes per second, but "
        "it is 5e-324",
        "--set chip.vector.bank_bytes=32: vector.bank_bytes: must be at least 1024 bytes, but it is 32",
        "--set chip.vector.bank_groups=1e9: vector.bank_groups: must be at most 1000, but it is 1000000000.0",
        changes="--set chip.buffers.l1_bytes=1e308 --set chip.clock_hz=1e308 --set chip.dies=1e300 "
        "--set chip.hbm.bytes_per_second=5e-324 --set chip.vector.bank_bytes=32 --set chip.vector.bank_groups=1e9",
    ),
    changed(
        "--set of more cores than are simulated",
        "--set chip.cores.aic_per_die=1000: cores.aic_per_die: all dies would have 12000 cores, and at most 10000 are "
        "simulated; lower dies, aic_per_die or aiv_per_aic",
        changes="--set chip.cores.aic_per_die=1000 --set chip.dies=4",
    ),
    changed(
        "several wrong --set",
        "--set a: there is no '=' in it; ...",
        "--set b=: there is no value after '='; write b=null for none",
        changes="--set a --set b=",
    ),
)

CASES = (*FILES, *OVERRIDES)
