"""Command lines that ask for what there is not."""

from __future__ import annotations

from wrong_inputs.case import Case


def command(name: str, arguments: str, says: str, **files: str) -> Case:
    """The command line *arguments*, in a folder with *files* without ending."""
    return Case(name, (says,), files, arguments)


CASES = (
    command(
        "a command that does not exist", "simulate gemm", "ascend-sim: No such command 'simulate'...--help..."
    ),
    command(
        "an option that does not exist",
        "run gemm --fast",
        "ascend-sim run: No such option: --fast...--help...",
    ),
    command("no run", "run", "ascend-sim run: Missing argument 'config'...--help..."),
    command(
        "two runs",
        "run gemm softmax",
        "ascend-sim run: Got unexpected extra argument(s) (softmax)...--help...",
    ),
    command(
        "a program for a run",
        "run mine.py",
        "mine.py: is a program; write a run file with 'program: ...' and 'chip: ...'...",
    ),
    command(
        "--out onto a file",
        "run vector_add --out result",
        "result: cannot be written to: ...; choose another folder",
        result="a file",
    ),
    command(
        "--trace without --out",
        "run vector_add --trace",
        "--trace writes trace.json and needs a folder for it: add --out DIR",
    ),
    command(
        "a window that ends before it begins",
        "run vector_add --out out --trace-window 9:5",
        "--trace-window 9:5: write BEGIN:END in microseconds, such as 10:25.5",
    ),
    command(
        "a seed that is none",
        "run vector_add --adversarial x",
        "--adversarial x: write a seed such as 7, or a range such as 0:99",
    ),
    command(
        "seeds that end before they begin",
        "run vector_add --adversarial 5:2",
        "--adversarial 5:2: write a seed such as 7, or a range such as 0:99",
    ),
    command(
        "more seeds than anybody waits for",
        "run vector_add --adversarial 1:10001000",
        "--adversarial 1:10001000: these are 10,001,000 seeds; write at most 10,000",
    ),
    command(
        "seeds without numbers",
        "run vector_add --adversarial 5 --no-data",
        "--adversarial compares numbers, which --no-data leaves out; drop one of them",
    ),
    command(
        "a kind of core that does not exist",
        "show gemm --core aix",
        "--core aix: there is no such kind of core; write aic (cube) or aiv (vector)",
    ),
    command("nothing to show", "show gemm --limit 0", "...--limit...0..."),
    command(
        "a chip to show on that does not exist",
        "show gemm --chip 910b2",
        "...chip...910b2: there is no chip named '910b2'; did you mean 'ascend910b2'? ...; for a file of "
        "your own, write its path",
    ),
    command(
        "a program to show that does not exist",
        "show gem",
        "there is no program or run named 'gem'; did you mean 'gemm'? ...",
    ),
    command(
        "a list that does not exist",
        "list chip",
        "there is no list of 'chip'; did you mean 'chips'? (chips, programs, configs, explorations, studies)",
    ),
    command(
        "init onto a file",
        "init taken",
        "taken: cannot be made a folder: ...; choose another one",
        taken="a file",
    ),
    Case(
        "init onto files that exist",
        ("vector_add.py: exists already and is not overwritten; choose another folder, or remove it first",),
        {"vector_add.py": "mine"},
        "init .",
    ),
)
