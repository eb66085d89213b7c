"""Run files that say something wrong."""

from __future__ import annotations

from wrong_inputs.case import Case

RUN = "program: vector_add\nchip: ascend910b2\nproblem: {length: 64}\n"
HEAD = "program: vector_add\nchip: ascend910b2\n"
AMLA = """\
program: amla
chip: ascend910c
problem:
  batch: 2
  heads: 128
  query_tokens: 2
  kv_tokens: [700, 1500]
"""


def run(name: str, text: str | bytes, *says: str, code: int = 2) -> Case:
    """A run of the run file *text*."""
    return Case(name, says, {"run.yaml": text}, code=code)


KEYS = (
    run(
        "no program",
        "chip: ascend910b2\n",
        "run.yaml:1:1: missing key 'program' at the top level; write 'program: ...' there",
    ),
    run(
        "no chip",
        "program: vector_add\n",
        "run.yaml:1:1: missing key 'chip' at the top level; write 'chip: ascend910b1', for example",
    ),
    run(
        "no section for the program",
        HEAD,
        "run.yaml:1:1: missing key 'problem' at the top level; write 'problem: ...' there",
    ),
    run(
        "a parameter missing",
        HEAD + "problem: {tile: 64}\n",
        "run.yaml:3:10: missing key 'length' in section 'problem'; write 'length: ...' there",
    ),
    run(
        "a parameter misspelt",
        HEAD + "problem: {lenght: 64}\n",
        "run.yaml:3:11: unknown key 'lenght' in section 'problem'; did you mean 'length'? (known keys: "
        "length, tile)",
    ),
    run(
        "a section misspelt",
        RUN + "lunch: {blocks: 4}\n",
        "run.yaml:4:1: unknown key 'lunch' at the top level; did you mean 'launch'? (known keys: problem, "
        "...)",
    ),
    run(
        "a key that is no section",
        RUN + "blocks: 4\n",
        "run.yaml:4:1: unknown key 'blocks' at the top level (known keys: ...); a section of the program "
        "must be a mapping",
    ),
    run(
        "a section without lines",
        HEAD + "problem:\n",
        "run.yaml:3:1: section 'problem' is empty; write its 'key: value' lines indented below it, or "
        "remove it",
    ),
    run(
        "many faults at once",
        "program: vector_add\nchip: ascend910d\nlaunch: {blocks: 0}\ndata: {enabled: no, seed: -1}\n",
        "run.yaml:3:18: launch.blocks: must be at least 1, but it is 0",
        'run.yaml:4:17: data.enabled: expected true or false, but "no" is text; write true or false instead',
        "run.yaml:4:27: data.seed: must be at least 0, but it is -1",
        "run.yaml:2:7: there is no chip named 'ascend910d'; did you mean 'ascend910c'? ...",
    ),
)

VALUES = (
    run(
        "a unit after a number",
        HEAD + "problem:\n  length: 8K\n",
        'run.yaml:4:11: problem.length: expected a whole number, but "8K" is text; write a plain number, '
        "the unit is in the name of the key",
    ),
    run(
        "a number in quotes",
        HEAD + "problem:\n  length: '64'\n",
        'run.yaml:4:11: problem.length: expected a whole number, but "64" is text; write 64 without quotes',
    ),
    run(
        "an exponent in a whole number",
        HEAD + "problem:\n  length: 1e6\n",
        "run.yaml:4:11: problem.length: expected a whole number, but 1000000.0 is a number with a fraction "
        "or an exponent; write 1000000 instead",
    ),
    run(
        "nothing after the colon",
        HEAD + "problem:\n  length:\n  tile: 64\n",
        "run.yaml:4:3: problem.length: expected a whole number, but nothing is written there (null)",
    ),
    run(
        "a length of 0",
        HEAD + "problem:\n  length: 0\n",
        "run.yaml:4:11: problem.length: must be greater than 0, but it is 0",
    ),
    run(
        "no for false",
        RUN + "data: {enabled: no}\n",
        'run.yaml:4:17: data.enabled: expected true or false, but "no" is text; write true or false instead',
    ),
    run(
        "a distribution that does not exist",
        RUN + "data: {distribution: norml}\n",
        "run.yaml:4:22: data.distribution: must be one of 'normal', 'uniform' or 'rising', but it is "
        "\"norml\"; did you mean 'normal'?",
    ),
    run(
        "a scale of 0",
        RUN + "data: {scale: 0}\n",
        "run.yaml:4:15: data.scale: must be greater than 0, but it is 0",
    ),
    run(
        "an infinite scale",
        RUN + "data: {scale: .inf}\n",
        "run.yaml:4:15: '.inf' is not a finite number; write a finite number instead",
    ),
    run(
        "a scale beyond the format of an input",
        RUN + "data: {enabled: true, scale: 3e38}\n",
        "run.yaml:4:30: data.scale 3e+38 makes numbers of input 'x' that fp32 cannot hold: its largest is "
        "3.40282e+38; use a scale of ... or less",
    ),
    run(
        "a date for a number",
        HEAD + "problem: {length: 2026-11-20}\n",
        "run.yaml:3:19: a date is not used here; write it as text in quotes, a list or a mapping",
    ),
    run(
        "a number for a text",
        "program: 5\nchip: ascend910b2\n",
        'run.yaml:1:10: program: expected text, but 5 is a whole number; write "5" in quotes instead',
    ),
    run(
        "a format that the program does not know",
        "program: gemm\nchip: ascend910b2\nproblem: {m: 64, n: 64, k: 64, dtype: fp8}\n",
        "run.yaml:3:39: problem.dtype: must be one of 'fp16', 'bf16', 'fp32' or 'int8', but it is \"fp8\"...",
    ),
    run(
        "a list of the wrong length",
        AMLA.replace("1500]", "1500, 3]"),
        "run.yaml:4:3: problem: kv_tokens lists 3 lengths for a batch of 2; give one length, or one for "
        "each request",
    ),
    run(
        "an item below its limit",
        AMLA.replace("1500", "0"),
        "run.yaml:7:20: problem.kv_tokens.1: must be at least 1, but it is 0",
    ),
    run(
        "neither a number nor a list",
        AMLA.replace("[700, 1500]", "many"),
        'run.yaml:7:14: problem.kv_tokens: expected a whole number or a list, but "many" is text; write a '
        "plain number, ...",
    ),
    run(
        "more blocks than the chip has",
        RUN + "launch:\n  blocks: 100\n",
        "run.yaml:5:11: launch.blocks = 100 is outside 1..48: Ascend910B2 has 48 blocks for a vector kernel",
    ),
    run(
        "a problem that no memory holds",
        HEAD + "problem: {length: 123456789012345678901234567890}\n",
        "...vector_add.py:...: GM overflows: the tensors need 1481481468148148146814814815232 B, "
        "Ascend910B2 has 68719476736 B (x ..., y ..., z ...); shrink the problem",
        code=3,
    ),
)

SYNTAX = (
    run(
        "a key written twice",
        "program: vector_add\nprogram: gemm\nchip: ascend910b2\n",
        'run.yaml:2:1: not valid YAML: found duplicate key "program" ...; keep one of them',
    ),
    run(
        "a bracket left open",
        HEAD + "problem: {length: 64\n",
        "run.yaml:4:1: not valid YAML: expected ',' or '}'...; close the bracket or quote that is open",
    ),
    run(
        "a quote left open",
        "program: 'vector_add\nchip: ascend910b2\n",
        "run.yaml:3:1: not valid YAML: found unexpected end of stream; close the quote that is open",
    ),
    run(
        "a tab for indentation",
        HEAD + "problem:\n\tlength: 64\n",
        "run.yaml:4:1: not valid YAML: found character '\\t' that cannot start any token; indent with "
        "spaces instead of tabs",
    ),
    run(
        "keys indented differently",
        HEAD + "problem:\n  length: 64\n tile: 3\n",
        "run.yaml:5:2: not valid YAML: expected <block end>...; indent keys of one mapping alike",
    ),
    run(
        "no colon",
        "program: vector_add\nchip ascend910b2\n",
        "run.yaml:3:1: not valid YAML: could not find expected ':'; write 'key: value' with a space after "
        "the colon",
    ),
    run(
        "no space after the colon",
        "program:vector_add\nchip:ascend910b2\n",
        "run.yaml:1:1: expected 'key: value' lines at the top level, but found \"program:vector_add "
        'chip:ascend910b2"',
    ),
    run(
        "two documents",
        RUN + "---\n" + RUN,
        "run.yaml:4:1: not valid YAML: but found another document; keep one of the documents, without '---' "
        "between",
    ),
    run(
        "an anchor in itself",
        RUN + "tiling: &t [*t]\n",
        "run.yaml:4:9: this anchor contains an alias to itself; write the value out instead",
    ),
    run(
        "nested without end",
        "a: " + "[" * 1000,
        "run.yaml:1:54: lists or mappings are nested more than 50 deep; flatten them",
    ),
    run(
        "nested without brackets",
        "- " * 1000,
        "run.yaml: lists or mappings are nested too deeply to be read; flatten them",
    ),
    run(
        "aliases that multiply",
        HEAD + "problem:\n  a: &a0 [1]\n" + "".join(f"  a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 10)),
        "run.yaml:1:1: the aliases repeat their anchors to more than 100000 values; write fewer of them",
    ),
    run(
        "a whole number that no format holds",
        HEAD + f"problem: {{length: 0x{'f' * 4000}}}\n",
        f"run.yaml:3:19: the whole number 0x{'f' * 55}... is too large, as it is beyond 1.8e+308; write a "
        "smaller one",
    ),
    run(
        "a whole number of thousands of digits",
        HEAD + f"problem: {{length: {'9' * 5000}}}\n",
        f"run.yaml:3:19: the whole number {'9' * 57}... is too large, as it is beyond 1.8e+308; write a "
        "smaller one",
    ),
    run("an empty file", "", "run.yaml:1:1: the file is empty; write at least one 'key: value' line"),
    run(
        "a list at the top",
        "- gemm\n",
        "run.yaml:1:1: expected 'key: value' lines at the top level, but found [\"gemm\"]",
    ),
    run(
        "not UTF-8",
        RUN.encode() + b"description: caf\xe9\n",
        "run.yaml:4:17: byte 0xE9 is not UTF-8 text; save the file as UTF-8",
    ),
    run(
        "a control character",
        RUN + "description: a\x07b\n",
        "run.yaml:4:15: character U+0007 is not allowed in YAML; remove it",
    ),
)

NAMES = (
    run(
        "a chip that does not exist",
        RUN.replace("910b2", "910b5"),
        "run.yaml:2:7: there is no chip named 'ascend910b5'; did you mean 'ascend910b4'? (bundled chips: "
        "ascend910b1, ...); for a file of your own, write its path",
    ),
    run(
        "a chip that is only a base",
        RUN.replace("ascend910b2", "dav_c220"),
        "...dav_c220.yaml:...: this file is abstract, a base for chips to extend; choose one of: "
        "ascend910b1, ...",
    ),
    run(
        "a number for a chip",
        RUN.replace("ascend910b2", "910"),
        "run.yaml:2:7: expected the name or path of a chip, but it is 910",
    ),
    run(
        "a program that does not exist",
        RUN.replace("vector_add", "vector_ad"),
        "run.yaml:1:10: there is no program named 'vector_ad'; did you mean 'vector_add'? (bundled "
        "programs: amla, ...); for a file of your own, write its path",
    ),
    run(
        "a program file that does not exist",
        RUN.replace("vector_add", "./vector_add.py"),
        "run.yaml:1:10: there is no program file 'vector_add.py'; did you mean 'vector_add'? (bundled "
        "programs, named without path and ending: ...)",
    ),
    run(
        "a home folder of nobody",
        RUN.replace("vector_add", "~nobody_of_this_name/x.py"),
        "run.yaml:1:10: there is no program file '~nobody_of_this_name/x.py' ...",
    ),
    Case(
        "a folder for a program",
        ("run.yaml:1:10: 'kernel.py' is a folder; write the path of a .py file in it instead",),
        {"run.yaml": RUN.replace("vector_add", "./kernel.py"), "kernel.py/x": ""},
    ),
    Case(
        "a folder for a run",
        ("'run.yaml' is a folder; write the path of a .yaml file in it instead",),
        {"run.yaml/x": ""},
    ),
    Case(
        "a run file that does not exist",
        ("there is no run file 'run.yaml' (bundled runs, named without path and ending: ...)",),
    ),
    Case(
        "a name too long for a file",
        ("there is no run named 'aaa...' (bundled runs: ...",),
        command="run " + "a" * 300,
    ),
    Case(
        "a run that does not exist",
        (
            "there is no run named 'vectoradd'; did you mean 'vector_add'? (bundled runs: ...); for a file "
            "of your own, write its path",
        ),
        command="run vectoradd",
    ),
)

CASES = (*KEYS, *VALUES, *SYNTAX, *NAMES)
