"""The ladder: every rung is built and planned, and says in its first line what the settings give up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_file import CONFIG_ROOT, replace
from flashtalk.engine.ladder import grade, rungs
from flashtalk.engine.plan import Plan, plan
from flashtalk.engine.rates import REFERENCE_GPU
from tests.source import ROOT

NAMES = sorted(rungs())
RESULTS = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    """Of five rungs: building the others differs by their settings alone, which test_config checks."""
    chosen = ("h200x1", "h200x1-fp8", "h200x4-fp8-attention", "h200x1-fp8-512x288", "h200x8-fp8")
    return {name: plan(rungs()[name][0], REFERENCE_GPU) for name in chosen}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_says_its_grade_first(name: str) -> None:
    config, graded = rungs()[name]
    first = (Path(CONFIG_ROOT) / "serve" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# {graded.kind}: ")
    assert config.parallel.ranks == int(name.removeprefix("h200x").split("-")[0])
    assert ("fp8" in name) == (config.runtime.linears == "fp8")
    assert ("attention" in name) == config.runtime.rounds_attention
    assert bool(graded.given_up) == (graded.kind != "exact")


def test_each_number_of_gpus_has_an_exact_rung() -> None:
    kinds = {(config.parallel.ranks, graded.kind) for config, graded in rungs().values()}
    assert {(ranks, kind) for ranks in (1, 2, 4, 8) for kind in ("exact", "FP8")} <= kinds


def test_grades_are_told_in_words(tiny_wan_config: Config) -> None:
    assert str(grade(tiny_wan_config)) == "exact"
    fast = replace(tiny_wan_config, {"runtime.linears": "fp8", "stream.steps": 2})
    assert str(grade(fast)) == "approximate: 8-bit products in the transformer's blocks; 2 of 4 steps"
    rounding = replace(tiny_wan_config, {"runtime.attention": "fp8"})
    assert str(grade(rounding)) == "approximate: self-attention in 8 bits"
    small = replace(tiny_wan_config, {"stream.width": 32})
    assert str(grade(small, tiny_wan_config)) == "approximate: 50% of the pixels of 64x64"
    assert grade(tiny_wan_config, small).kind == "exact"


def test_rungs_are_faster_upwards(plans: dict[str, Plan]) -> None:
    assert all(made.fits and made.dtype == torch.bfloat16 for made in plans.values())
    exact, fp8, small, eight = (plans[n] for n in ("h200x1", "h200x1-fp8", "h200x1-fp8-512x288", "h200x8-fp8"))
    assert exact.fps < fp8.fps < small.fps < eight.fps
    assert small.fps > 25
    assert eight.step == fp8.step
    assert eight.chunk_s > fp8.chunk_s / 8


def test_self_attention_alone_is_in_8_bits(plans: dict[str, Plan]) -> None:
    """10,530 x 10,530 tokens, 4 x 5120 operations, 40 layers; what looks at text, picture and sound stays."""
    plain, rounded = (plans[name].step for name in ("h200x1-fp8", "h200x4-fp8-attention"))
    assert rounded.attention8 == 10530**2 * 4 * 5120 * 40
    assert rounded.attention == plain.attention - rounded.attention8 > 0
    assert (rounded.linear, rounded.float8) == (plain.linear, plain.float8)


def test_predictions_are_near_what_was_measured(plans: dict[str, Plan]) -> None:
    files = {name: RESULTS / f"bench-{name}.json" for name in plans}
    measured = {name: json.loads(file.read_text("utf-8"))["fps"] for name, file in files.items() if file.exists()}
    assert {plans[name].config.parallel.ranks for name in measured} == {1, 4}
    assert {name: plans[name].fps for name in measured} == pytest.approx(measured, rel=0.04)


def test_folding_takes_the_memory_that_was_reckoned() -> None:
    """9 frames x 40 layers x 2 x 1280 x 5120 numbers of two bytes, and the step is 33 TFLOP lighter than 394."""
    folded = plan(replace(rungs()["h200x1"][0], {"runtime.folded_audio": True}), REFERENCE_GPU)
    assert folded.memory.sound == pytest.approx(9.4e9, rel=0.01)
    assert folded.step.flops / 1e12 == pytest.approx(361, rel=0.01)
