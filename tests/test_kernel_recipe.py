"""A stage is recorded anew when a helper function that it calls would do something else."""

from __future__ import annotations

import pytest
from tiny import NoParameters, chip

from ascend_sim import kernel as asc
from ascend_sim.isa.words import Space

STEP, FAR_STEP = 1.0, 1.0


def near(x: asc.LocalTensor) -> None:
    """Add STEP."""
    asc.adds(x, x, STEP)


def far(x: asc.LocalTensor) -> None:
    """Add FAR_STEP, by way of another helper."""
    further(x)


def further(x: asc.LocalTensor) -> None:
    """Add FAR_STEP."""
    asc.adds(x, x, FAR_STEP)


@pytest.mark.parametrize(("helper", "name"), [("near", "STEP"), ("far", "FAR_STEP")])
def test_a_changed_constant_of_a_helper_is_seen(helper: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called again unchanged the recording serves again; with another constant in the helper's module it does not."""

    @asc.kernel(cores="vector", parameters=NoParameters, tensors=lambda gm, _: None, flops=lambda _: 0)
    def kernel(core: asc.Core, gm: asc.GlobalMemory, _: NoParameters) -> None:
        x = core.tensor("x", Space.UB, 64, asc.fp32)

        @core.stage(asc.AIV)
        def with_near() -> None:
            near(x)

        @core.stage(asc.AIV)
        def with_far() -> None:
            far(x)

        stage = with_near if helper == "near" else with_far
        for value in (1.0, 1.0, 2.0):
            monkeypatch.setitem(globals(), name, value)
            stage()

    program = asc.build(kernel, NoParameters(), chip(), blocks=1)
    scalars = [getattr(one, "scalar") for _, one in program.streams[0] if one.mnemonic == "adds"]  # noqa: B009

    assert scalars == [1.0, 1.0, 2.0]
    assert len({call.template for call in program.streams[0].calls if call.template.name == f"with_{helper}"}) == 2
