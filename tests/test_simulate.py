"""One run through the library: which numbers are wrong, what a reference may do, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernels import HEAD, RIGHT, WITHOUT_FLAG, write_run

from ascend_sim.config import load_run
from ascend_sim.errors import KernelError, NumericsError, ProgramError
from ascend_sim.simulate import Outcome, simulate


def run(folder: Path, body: str, reference: str | None = "return {'y': inputs['x'] + 1}", *overrides: str) -> Outcome:
    """The outcome of a kernel with *body*, with data."""
    return simulate(load_run(write_run(folder, body, reference), overrides), data=True)


def test_right_numbers(tmp_path: Path) -> None:
    """A kernel with its flags agrees with its reference, and `check` is content."""
    found = run(tmp_path, RIGHT)

    assert found.fault is None
    found.check()
    assert found.result.numerics is not None
    assert found.result.numerics["reference"] == "kernel_reference.py"
    assert found.result.numerics["relative_error"] == pytest.approx(0.0, abs=1e-7)
    assert found.result.warnings == []


def test_a_missing_flag_is_a_fault_with_a_result(tmp_path: Path) -> None:
    """The vector unit reads the buffer before the load has written it: NaN, said in fault, check and warnings."""
    found = run(tmp_path, WITHOUT_FLAG)

    assert found.fault is not None
    (finding,) = found.fault.diagnostics
    assert finding.file == str(tmp_path / "kernel.py")
    assert finding.message == (
        "wrong numbers: output 'y' holds 256 values that are NaN or infinite; look for a missing flag or an "
        "uninitialised buffer; see docs/how-to/debug-a-kernel.md"
    )
    assert found.result.numerics is not None
    assert found.result.numerics["relative_error"] is None
    assert finding.message in found.result.warnings
    with pytest.raises(NumericsError):
        found.check()


def test_a_wrong_kernel_is_a_fault(tmp_path: Path) -> None:
    """The message has the error, the tolerance and the reference."""
    found = run(tmp_path, RIGHT.replace("1.0", "1.5"))

    assert found.fault is not None
    assert "output 'y' differs from kernel_reference.py by a relative error of 0." in str(found.fault)
    assert "; the tolerance is 0.002; look for" in str(found.fault)


def test_without_data_nothing_is_computed(tmp_path: Path) -> None:
    """A timed run of a wrong kernel finds no fault: it has no numbers."""
    path = write_run(tmp_path, WITHOUT_FLAG, "raise AssertionError('must not be called')")

    assert simulate(load_run(path), data=False).fault is None


def test_without_a_reference_the_result_says_so(tmp_path: Path) -> None:
    """Outputs that nothing checks are a warning that says what to write, and how many are no numbers."""
    (right,) = run(tmp_path, RIGHT, None).result.warnings
    (wrong,) = run(tmp_path / "wrong", WITHOUT_FLAG, None).result.warnings

    assert right == (
        "the outputs were computed but not checked: write a kernel_reference.py beside the program"
    )
    assert "not checked; they hold 256 values that are NaN or infinite: write" in wrong


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("return {'z': inputs['x']}", "finite values for 'y' in shape [256], but it returned nothing"),
        ("return {'y': inputs['x'][:3]}", "finite values for 'y' in shape [256], but it returned shape [3]"),
        ("return {'y': inputs['x'] * float('nan')}", "'y' in shape [256], but some are NaN or infinite"),
        ("return {'y': inputs['q']}", "reference() failed with KeyError: 'q'"),
    ],
)
def test_what_a_reference_may_not_do(tmp_path: Path, reference: str, message: str) -> None:
    """A reference that returns something else, or fails, is the user's mistake, at its file (and line)."""
    with pytest.raises(ProgramError) as caught:
        run(tmp_path, RIGHT, reference)

    (finding,) = caught.value.diagnostics
    assert message in finding.message
    assert finding.file == str(tmp_path / "kernel_reference.py")
    assert finding.line == (2 if "failed" in message else None)


def test_what_the_hardware_refuses(tmp_path: Path) -> None:
    """A buffer that does not fit is a KernelError at the line that reserves it."""
    body = 'u = core.tensor("u", Space.UB, 1 << 20, asc.fp32)'
    with pytest.raises(KernelError) as caught:
        run(tmp_path, body)

    (finding,) = caught.value.diagnostics
    assert "UB overflows at buffer 'u'" in finding.message
    assert (finding.file, finding.line) == (str(tmp_path / "kernel.py"), HEAD.count("\n") + 1)


def test_more_operations_than_the_chip_can_do_are_a_warning(tmp_path: Path) -> None:
    """A flops function that counts wrongly would report a rate above the peak; the result says so."""
    path = write_run(tmp_path)
    source = tmp_path / "kernel.py"
    source.write_text(source.read_text().replace("flops=lambda p: 256", "flops=lambda p: 10**15"))

    (warning,) = simulate(load_run(path), data=False).result.warnings

    assert warning.startswith("flops() of kernel 'kernel' counts 1,000,000,000,000,000 operations, more than")


def test_blocks_without_work_are_named() -> None:
    """A warning says how many blocks suffice when the kernel ends with the launch of others, and none when they do."""
    idle, enough = (
        simulate(load_run("flash_attention_small", [f"launch.blocks={blocks}"]), data=False) for blocks in (24, 8)
    )

    assert idle.result.warnings == [
        "16 of 24 blocks have no work, and the kernel ends with the launch of the last of them; write launch.blocks: 8"
    ]
    assert enough.result.warnings == []
    assert enough.result.cycles < idle.result.cycles


def with_tolerance(folder: Path, body: str) -> Path:
    """A run of x + 1 whose reference is 1 % off, and says with *body* which error is allowed."""
    run = write_run(folder, reference="return {'y': 1.01 * (inputs['x'] + 1)}")
    with (folder / "kernel_reference.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\ndef tolerance(parameters):\n    {body}\n")
    return run


def test_a_reference_may_allow_a_larger_error(tmp_path: Path) -> None:
    """An algorithm less accurate than its formats passes with the error that its reference allows, and no other."""
    assert simulate(load_run(with_tolerance(tmp_path / "wide", "return 0.02"))).fault is None
    for name, body in (("narrow", "return 0.005"), ("none", "return None")):
        assert simulate(load_run(with_tolerance(tmp_path / name, body))).fault is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 2.0", r"tolerance\(parameters\) returned 2.0; return a relative error between 0 and 1, or None"),
        ("return 'much'", r"tolerance\(parameters\) returned 'much'"),
        ("return 1 / 0", r"kernel_reference.py:6: tolerance\(\) failed with ZeroDivisionError"),
    ],
)
def test_a_tolerance_that_is_none_is_refused(tmp_path: Path, body: str, message: str) -> None:
    """What is no relative error is refused at the file that says it."""
    with pytest.raises(ProgramError, match=message):
        simulate(load_run(with_tolerance(tmp_path, body)))
