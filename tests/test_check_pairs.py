"""`check` on kernels in pairs: the right one is clean, and its twin with one deliberate mistake is reported."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from safety_pairs import cores, cube, deadlocks, flags, hints, memory, numbers, order, races
from safety_pairs.case import Pair
from wrong_inputs.case import Case

from ascend_sim.check.finding import Kind
from ascend_sim.check.run import check
from ascend_sim.cli import main
from ascend_sim.config import load_run
from ascend_sim.engine.adversary import execute_adversarially
from ascend_sim.engine.functional import generated_inputs
from ascend_sim.errors import FlagError
from ascend_sim.simulate import prepare, simulate

MODULES = (races, cube, order, cores, deadlocks, flags, memory, numbers, hints)
PAIRS = [pair for module in MODULES for pair in module.PAIRS]
FEWEST = 40
SEEDS = range(4)
"""Orders in which a right kernel must compute the same bits."""
MANY = range(60)
"""Orders among which one must show a mistake that numbers can show."""

Run = Callable[[Case], tuple[int, str, str]]


def _where(chosen: list[Pair]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("pair", chosen, ids=lambda pair: pair.name)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Write a case, run its command, and return exit code, stdout and stderr."""

    def carry_out(case: Case) -> tuple[int, str, str]:
        case.write(tmp_path)
        monkeypatch.chdir(tmp_path)
        code = 0
        try:
            main(shlex.split(case.command))
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        return code, *capsys.readouterr()

    return carry_out


def _tagged(text: str, kind: Kind) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.endswith(f"[{kind}]"))


def _bits(folder: Path, seeds: Iterable[int]) -> Iterator[bytes]:
    """The outputs of the kernel in *folder* in the order of each of the *seeds*."""
    run = load_run(folder / "run.yaml")
    _, _, program = prepare(run)
    inputs = generated_inputs(program, 0, "normal", 1.0)
    for seed in seeds:
        outputs = execute_adversarially(program, run.chip, inputs, seed)
        yield b"".join(one.tobytes() for one in outputs.values())


def _differs(folder: Path, seed: int, expected: bytes) -> bool:
    """Whether the kernel in *folder* computes other bits than *expected* under *seed*, or stops since a set is lost."""
    try:
        (bits,) = _bits(folder, [seed])
    except FlagError:
        return True
    return bits != expected


@_where(PAIRS)
def test_the_right_kernel_is_clean(pair: Pair, tmp_path: Path) -> None:
    """Nothing is wrong with a right kernel, its numbers agree with the reference, and no hint is of the pair's kind."""
    pair.right().write(tmp_path)
    checked = check(load_run(tmp_path / "run.yaml"), data=pair.outputs is not None)

    assert checked.errors == []
    assert pair.kind not in [one.kind for one in checked.findings]


@_where([module.PAIRS[0] for module in MODULES])
def test_a_right_kernel_ends_well(pair: Pair, run: Run) -> None:
    """The command says so on stdout, says nothing on stderr, and ends with 0."""
    code, stdout, stderr = run(pair.right())

    assert (code, stderr) == (0, "")
    assert "no errors" in stdout


@_where(PAIRS)
def test_the_twin_is_reported(pair: Pair, run: Run) -> None:
    """The deliberate mistake is reported by its kind, at its line and with what to do; nothing else is."""
    case = pair.twin()
    code, stdout, stderr = run(case)

    assert case.differences(_tagged(stdout, pair.kind) if pair.is_hint else stderr) == []
    assert code == case.code
    assert not pair.is_hint or stderr == ""


@_where([pair for pair in PAIRS if pair.outputs is not None])
def test_the_right_kernel_does_not_depend_on_the_order(pair: Pair, tmp_path: Path) -> None:
    """What is clean computes the bits of the timed order in any other order as well."""
    pair.right().write(tmp_path)
    outcome = simulate(load_run(tmp_path / "run.yaml"), data=True, adversarial=SEEDS)

    assert outcome.fault is None
    assert outcome.result.numerics is not None


@_where([pair for pair in PAIRS if pair.changes])
def test_a_race_changes_the_numbers_in_some_order(pair: Pair, tmp_path: Path) -> None:
    """What is reported as a race is one: some order of events computes other bits."""
    pair.right().write(tmp_path / "right")
    pair.twin().write(tmp_path / "twin")
    (expected,) = _bits(tmp_path / "right", [0])

    assert any(_differs(tmp_path / "twin", seed, expected) for seed in MANY)


@_where([pair for pair in PAIRS if pair.kind == "deadlock" and pair.outputs is not None])
def test_a_deadlock_stops_every_order(pair: Pair, tmp_path: Path) -> None:
    """What is reported as a deadlock comes to a stop whatever the order of events."""
    pair.twin().write(tmp_path)

    for seed in SEEDS:
        with pytest.raises(FlagError, match="for ever"):
            next(_bits(tmp_path, [seed]))


@_where([pair for pair in PAIRS if pair.hidden])
def test_right_numbers_do_not_hide_a_mistake(pair: Pair, tmp_path: Path) -> None:
    """These twins agree with their reference in the order of the model's times, and are reported all the same."""
    pair.twin().write(tmp_path)

    assert simulate(load_run(tmp_path / "run.yaml"), data=True).fault is None


@_where(PAIRS)
def test_a_twin_has_one_mistake(pair: Pair) -> None:
    """A twin differs by one line: it is missing, added, written differently, or stands at another place."""
    marked = pair.changed()
    marks = sorted(mark for mark, _ in marked)
    moved = len({code.partition("  # ")[0] for _, code in marked}) == 1
    text = f"{pair.tensors}\n{pair.body}".splitlines()
    places = [place for place, line in enumerate(text) if line.strip().startswith(("- ", "+ "))]

    assert marks in (["-"], ["+"], ["+", "-"])
    assert len(places) == 1 or moved or places[1] == places[0] + 1


def test_every_kind_has_pairs() -> None:
    """Each kind of finding has a pair that is reported as that kind first, and there are no fewer than promised."""
    names = [pair.name for pair in PAIRS]
    kinds = {pair.kind for pair in PAIRS}

    assert len(PAIRS) >= FEWEST
    assert len(set(names)) == len(names)
    assert kinds == set(get_args(Kind))
    for pair in PAIRS:
        assert pair.says[0].endswith(f"[{pair.kind}]"), pair.name
    assert any(pair.kind == "race" and pair.hidden for pair in PAIRS)
