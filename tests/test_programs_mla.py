"""MLA decode, AMLA and Base: right numbers for every kind of cache, mask and split; all work is dealt out once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_runs import Numbers, chip, computed, loaded, run, traced
from pydantic import ValidationError

from ascend_sim.engine.functional import generated_inputs
from ascend_sim.engine.machine import simulate_timing
from ascend_sim.kernel import AIC, Program

PACKAGE = chip("ascend910c")
DIE_CORES = 24
PROGRAMS = ("amla", "mla_base")
SMALL = {"latent_dim": 64, "rope_dim": 32}
"""A head of few columns, so that numbers are computed quickly."""


def limit(sections: dict[str, Any]) -> float:
    """Largest relative error: P and the output are each rounded to a part in 2^9 (bf16) or 2^12 (fp16) at most.

    P is rounded to 1.1e-3 (bf16) or 1.4e-4 (fp16) in the root mean square, the output likewise, and AMLA's scales
    move P within its binade; few keys let none of it average out.
    """
    formats = {sections["problem"].get("dtype", "bf16"), sections["problem"].get("output") or "fp32"}
    return 3e-3 if "bf16" in formats else 4e-4


def error(numbers: Numbers) -> float:
    """Relative error of the output; infinite if some of it is no number."""
    found = numbers.error()
    return found if np.isfinite(found) else np.inf


@st.composite
def decodes(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Sections of a run of MLA decode, and the blocks to launch it on."""
    query_tokens = draw(st.integers(1, 4), "query_tokens")
    heads = draw(st.sampled_from([heads for heads in (8, 16, 24, 40, 64) if heads * query_tokens % 16 == 0]), "heads")
    causal, dtype = draw(st.booleans(), "causal"), draw(st.sampled_from(["bf16", "fp16"]), "dtype")
    shortest = query_tokens if causal else 1
    lengths = draw(st.lists(st.integers(shortest, 700), min_size=1, max_size=3), "lengths")
    task_keys = draw(st.sampled_from([128, 256, 512]), "task_keys")
    pages = st.fixed_dictionaries({"tokens": st.sampled_from([16, 64, 128]), "seed": st.integers(0, 5)})
    problem = {
        "batch": len(lengths), "heads": heads, "query_tokens": query_tokens, "kv_tokens": lengths, "causal": causal,
        "dtype": dtype, "output": draw(st.sampled_from([None, "fp32"]), "output"),
        "paged": draw(st.none() | pages, "paged"), **SMALL,
    }  # fmt: skip
    split = draw(st.sampled_from([1, 1, 2, 5, "auto"]), "split_kv")
    schedule = {"preload": draw(st.integers(0, 2), "preload"), "split_kv": split}
    tiling = {"task_keys": task_keys, "task_rows": draw(st.sampled_from([128, 256]), "task_rows")}
    return {"problem": problem, "schedule": schedule, "tiling": tiling}, draw(st.integers(1, 4), "blocks")


@settings(max_examples=25, deadline=None, derandomize=True)
@pytest.mark.parametrize("program", PROGRAMS)
@given(case=decodes())
def test_any_decode_is_right(program: str, case: tuple[dict[str, Any], int]) -> None:
    """S_q 1 to 4, ragged, causal, paged, split, both formats, in any combination: the numbers of the reference."""
    sections, blocks = case

    assert error(run(program, sections, PACKAGE, blocks=blocks)) < limit(sections)


FULL = {"batch": 2, "heads": 128, "query_tokens": 3, "kv_tokens": [700, 1500], "causal": True}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("output", ["bf16", "fp32"])
def test_full_heads_with_everything(program: str, output: str) -> None:
    """128 heads of the real size, three query tokens, causal, paged and in parts: 384 rows in blocks of 256 and 128."""
    problem = {**FULL, "paged": {"tokens": 128}, "output": output}
    sections = {"problem": problem, "schedule": {"split_kv": 2}}

    assert error(run(program, sections, PACKAGE, blocks=3)) < limit(sections)


@pytest.mark.parametrize("program", PROGRAMS)
def test_parts_on_two_dies(program: str) -> None:
    """Dies share no memory: the parts of a request meet on its own die, and both dies have work."""
    problem = {"batch": 3, "heads": 16, "query_tokens": 2, "kv_tokens": [900, 500, 1300], **SMALL}
    sections = {"problem": problem, "schedule": {"split_kv": "auto"}, "tiling": {"task_keys": 128}}
    work = work_of(program, sections, 2 * DIE_CORES)

    assert all(splits for splits in work.splits)
    assert error(run(program, sections, PACKAGE)) < limit(sections)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("split_kv", [1, 3])
def test_a_paged_cache_gives_the_same_bits(program: str, split_kv: int) -> None:
    """The same tokens in shuffled pages: the same products in the same order, so the same output to the last bit."""
    sections = {
        "problem": {"batch": 2, "heads": 16, "query_tokens": 2, "kv_tokens": [333, 600], **SMALL},
        "schedule": {"split_kv": split_kv}, "tiling": {"task_keys": 128},
    }  # fmt: skip
    paged = {**sections, "problem": {**sections["problem"], "paged": {"tokens": 64, "seed": 3}}}
    contiguous = run(program, sections, PACKAGE, blocks=2)
    table = loaded(program).kernel.parameters.model_validate(paged).problem.block_table  # type: ignore[attr-defined]
    inputs = dict(contiguous.inputs)
    for name in ("kv", "k_rope"):
        pages = np.zeros((16 * 64, inputs[name].shape[1]), inputs[name].dtype)
        for request, (begin, length) in enumerate(((0, 333), (333, 600))):
            for token in range(length):
                pages[table[request][token // 64] * 64 + token % 64] = inputs[name][begin + token]
        inputs[name] = pages
    outputs = computed(traced(program, paged, PACKAGE, 2), PACKAGE, inputs)

    assert sorted(page for pages_of in table for page in pages_of) == list(range(16))
    assert outputs["out"].tobytes() == contiguous.outputs["out"].tobytes()


def test_causal_hides_the_last_keys_only() -> None:
    """With one query token nothing is hidden: the same bits; with more, all tokens but the last change."""
    problem = {"batch": 1, "heads": 16, "kv_tokens": 300, **SMALL}
    for query_tokens in (1, 3):
        open_, causal = (
            run("amla", {"problem": {**problem, "query_tokens": query_tokens, "causal": hidden}}, PACKAGE, blocks=1)
            for hidden in (False, True)
        )
        changed = np.any(open_.outputs["out"] != causal.outputs["out"], axis=1).reshape(query_tokens, 16)
        assert changed[:-1].all()
        assert not changed[-1].any()


def test_garbage_of_integer_additions_becomes_zero() -> None:
    """V of zeros leaves O exactly zero, which an integer addition turns into garbage; the output is zero again."""
    sections = {"problem": {"batch": 1, "heads": 16, "query_tokens": 2, "kv_tokens": 600, **SMALL}}
    for split_kv in (1, 2):
        sections["schedule"] = {"split_kv": split_kv}
        program = traced("amla", sections, PACKAGE, 2)
        inputs = generated_inputs(program, 0, "rising", 3.0)
        inputs["kv"][:, :32] = 0

        assert np.all(computed(program, PACKAGE, inputs)["out"][:, :32] == 0)


# --- Work ---


def work_of(program: str, sections: dict[str, Any], blocks: int) -> Any:
    """Who works on what, as the kernel deals it out on *blocks* cores."""
    kernel = loaded(program).kernel
    scope = kernel.function.__globals__["tasks_of"].__globals__

    class Core:
        index, count, die_blocks, subs, is_vector = 0, blocks, DIE_CORES, 2, False

    return scope["work_of"](Core, kernel.parameters.model_validate(sections))


LENGTHS = st.lists(st.integers(4, 9000), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    lengths=LENGTHS, split_kv=st.sampled_from([1, 2, 7, "auto"]), blocks=st.integers(1, 48), causal=st.booleans(),
    query_tokens=st.integers(1, 4),
)  # fmt: skip
def test_all_work_is_done_once(
    lengths: list[int], split_kv: Any, blocks: int, causal: bool, query_tokens: int
) -> None:
    """Every row meets every key of its request exactly once, parts meet on one die, and each sees a key of each row."""
    problem = {"batch": len(lengths), "kv_tokens": lengths, "query_tokens": query_tokens, "causal": causal}
    work = work_of("amla", {"problem": problem, "schedule": {"split_kv": split_kv}}, blocks)
    spans = [(core, span) for core, spans in enumerate(work.spans) for span in spans]

    assert len(work.spans) == blocks
    rows = 128 * query_tokens
    keys: Counter[tuple[int, int]] = Counter()
    for _, span in spans:
        assert span.request * rows <= span.first
        assert span.first + span.rows <= (span.request + 1) * rows
        assert span.begin <= lengths[span.request] - (query_tokens if causal else 1)
        keys[span.request, span.first] += span.behind - span.begin
    assert keys == {
        (request, request * rows + first): length
        for request, length in enumerate(lengths) for first in range(0, rows, 256)
    }  # fmt: skip
    for die, splits in enumerate(work.splits):
        for split in splits:
            own = sorted(
                (span.begin, span.behind, span.part, core // DIE_CORES) for core, span in spans
                if span.first == split.rows.first
            )  # fmt: skip
            assert [one[2] for one in own] == list(range(split.part, split.part + split.parts))
            assert all(one[3] == die for one in own)
            assert [one[0] for one in own[1:]] == [one[1] for one in own[:-1]]


@pytest.mark.parametrize(("batch", "parts"), [(1, 22), (4, 12), (16, 3), (48, 1), (96, 1)])
def test_auto_splits_where_requests_are_few(batch: int, parts: int) -> None:
    """The 128 tasks of 65,536 keys: as few each as 24, 12 or 3 cores can have (22 of six do); none with a core each."""
    work = work_of("amla", {"problem": {"batch": batch, "kv_tokens": 65536}, "schedule": {"split_kv": "auto"}}, 48)
    counts = {split.parts for splits in work.splits for split in splits} or {1}

    assert counts == {parts}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths=LENGTHS)
def test_auto_is_never_slower_than_no_split(lengths: list[int]) -> None:
    """Ragged requests: the longest share of a core is at most that of whole requests dealt by cost in each die."""
    problem = {"batch": len(lengths), "kv_tokens": lengths}
    longest = {}
    for split_kv in ("auto", 1):
        work = work_of("amla", {"problem": problem, "schedule": {"split_kv": split_kv}}, DIE_CORES)
        longest[split_kv] = max(sum(span.cost for span in spans) for spans in work.spans)

    assert longest["auto"] <= longest[1]


def test_split_kv_uses_the_whole_die() -> None:
    """A single request of 16,384 keys: 16 parts take less than a sixth of the time, of which 40 % is the launch."""
    problem = {"batch": 1, "query_tokens": 2, "kv_tokens": 16384}
    cycles = {}
    for split_kv in (1, "auto"):
        sections = {"problem": problem, "schedule": {"split_kv": split_kv}}
        cycles[split_kv] = simulate_timing(traced("amla", sections, PACKAGE), PACKAGE).cycles

    assert cycles["auto"] < cycles[1] / 6


def moved(program: Program) -> Counter[str]:
    """Bytes that cube cores read from each tensor of global memory."""
    counts: Counter[str] = Counter()
    for stream in program.streams:
        for _, instruction in stream if stream.core.kind is AIC else ():
            for source in instruction.sources():
                if hasattr(source, "pitch") and hasattr(source, "parameter"):
                    counts[source.name] += source.elements * source.dtype.bytes
    return counts


@pytest.mark.parametrize("schedule", [{}, {"split_kv": 3}])
@pytest.mark.parametrize("paged", [None, {"tokens": 32}])
def test_every_key_is_read_twice(schedule: dict[str, Any], paged: Any) -> None:
    """Paged or not, in parts or not: the latent columns are read as K and as V, the rope columns once."""
    problem = {"batch": 2, "heads": 16, "kv_tokens": [300, 700], "paged": paged}
    counts = moved(traced("amla", {"problem": problem, "schedule": schedule}, PACKAGE, 4))

    assert counts["kv"] == 2 * 1000 * 512 * 2
    assert counts["k_rope"] == 1000 * 64 * 2


@pytest.mark.parametrize("causal", [False, True])
def test_operations_are_those_of_visible_keys(causal: bool) -> None:
    """Two operations for each multiply-add of a score and of its use, for each pair of a query and a key it sees."""
    sections = {"problem": {"batch": 2, "heads": 16, "query_tokens": 4, "kv_tokens": [100, 5], "causal": causal}}
    seen = sum(length - (3 - token if causal else 0) for length in (100, 5) for token in range(4))

    assert traced("amla", sections, PACKAGE, 1).flops == 2 * 16 * seen * (512 + 64 + 512)


# --- Refusals ---


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("problem", "more", "message"),
    [
        ({"batch": 3, "kv_tokens": [7, 15]}, {}, "kv_tokens lists 2 lengths for a batch of 3; give one length"),
        ({"batch": 1, "heads": 100, "kv_tokens": 700}, {}, "= 100 rows is not a multiple of 16.*pad the heads"),
        (
            {"batch": 2, "query_tokens": 3, "kv_tokens": [5, 2], "causal": True}, {},
            "the first of 3 query_tokens sees none of 2 kv_tokens.*raise kv_tokens",
        ),
        (
            {"batch": 1, "kv_tokens": 9, "paged": {"tokens": 48}}, {},
            "task_keys = 512 are no whole pages of 48 tokens .*change one",
        ),
        ({"batch": 1, "kv_tokens": 9, "paged": {"tokens": 20}}, {}, "paged.tokens\n.*multiple of 16"),
        ({"batch": 1, "kv_tokens": 9, "dtype": "fp32"}, {}, "dtype\n.*'bf16' or 'fp16'"),
        ({"batch": 1, "kv_tokens": 9}, {"schedule": {"split_kv": 0}}, "split_kv"),
        ({"batch": 1, "kv_tokens": 9}, {"schedule": {"preload": 3}}, "preload\n.*less than or equal to 2"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    program: str, problem: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    """Each value that the kernels do not support is refused by name, with the way out."""
    with pytest.raises(ValidationError, match=message):
        traced(program, {"problem": problem, **more}, PACKAGE)


def test_more_parts_than_tasks_take_no_memory() -> None:
    """A part has at least a task: to ask for more gives as many parts as there are tasks, and memory for these."""
    problem = {"batch": 2, "heads": 16, "kv_tokens": [600, 1100], **SMALL}
    asked = ({"split_kv": number} for number in (3, 100_000))
    programs = [traced("amla", {"problem": problem, "schedule": schedule}, PACKAGE, 4) for schedule in asked]

    assert programs[0].gm_bytes == programs[1].gm_bytes
    assert programs[0].streams[0].length == programs[1].streams[0].length
