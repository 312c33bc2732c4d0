"""Ceilings are rates of the operations that they name, none of them can cost a run; achieved is work by time."""

from __future__ import annotations

import math

import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine import ceilings as module
from flashtalk.engine.achieved import achieved, count_work
from flashtalk.engine.ceilings import (
    ATTENTION,
    COPY,
    EXCHANGE,
    FLOAT8,
    NAMES,
    PRODUCTS,
    SERVED_FLOAT8,
    SERVED_PRODUCTS,
    Ceiling,
    measure_ceilings,
)
from flashtalk.engine.ladder import rungs
from flashtalk.engine.work import Work


def test_every_ceiling_is_measured_or_says_why_not(tiny_config: Config) -> None:
    found = measure_ceilings(tiny_config)
    assert tuple(found) == NAMES
    missing = {name: ceiling.of for name, ceiling in found.items() if ceiling.value is None}
    assert missing == {
        FLOAT8: "there is no 8-bit kernel for a CPU",
        SERVED_FLOAT8: "there is no 8-bit kernel for a CPU",
        EXCHANGE: "one rank has nobody to exchange with",
    }
    assert all(0 < ceiling.value < 100 for ceiling in found.values() if ceiling.value is not None)


def test_rates_are_amounts_by_seconds(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that always says a microsecond: 144 tokens, 48 wide, 96 in the feed-forward."""
    monkeypatch.setattr(module, "_median_s", lambda _probe, _bench: 1e-6)
    dit, found = tiny_config.model.dit, measure_ceilings(tiny_config)
    in_all = {name: 1e-6 * 1e12 * ceiling.value for name, ceiling in found.items() if ceiling.value}
    assert in_all[PRODUCTS] == pytest.approx(2 * 512**3)
    assert in_all[SERVED_PRODUCTS] == pytest.approx(2 * 144 * dit.dim * dit.ffn_dim)
    assert in_all[ATTENTION] == pytest.approx(4 * 144**2 * dit.dim)
    assert in_all[COPY] == pytest.approx(2 * 4 * 2**23)


def test_a_rank_is_measured_at_its_share(tiny_config: Config) -> None:
    half = module._Bench(replace(tiny_config, {"parallel.ranks": 2}), torch.device("cpu"), torch.float32, None)
    assert (half.all_tokens, half.tokens) == (144, 72)
    assert "144 queries, 144 keys, 1 heads of 24" in module._attention(half).of
    ring = module._Bench(
        replace(tiny_config, {"parallel.ranks": 2, "parallel.ulysses_degree": 1}), half.device, half.dtype, None
    )
    assert "72 queries, 144 keys, 2 heads of 24" in module._attention(ring).of


def test_a_kernel_that_fails_costs_nothing_else(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_bench: object) -> None:
        raise RuntimeError("out of memory\nand a long trace")

    monkeypatch.setitem(module.PROBES, ATTENTION, fail)
    found = measure_ceilings(tiny_config)
    assert found[ATTENTION] == Ceiling(None, "TFLOP/s", "it failed: out of memory")
    assert found[COPY].value


def test_bursts_are_counted_or_timed(tiny_config: Config) -> None:
    runs = []
    bench = module._Bench(tiny_config, torch.device("cpu"), torch.float32, None)
    module._median_s(module._Probe(1, lambda: runs.append(0), "", bursts=4), bench)
    assert len(runs) == 2 + 4, "every rank must make as many"
    assert len(list(module._rounds(None, 0.0))) == 1


# What was achieved.


def test_work_is_that_of_the_published_sizes() -> None:
    """4 steps of 393.7 TFLOP at 720x416; convolutions of the decoder 84.5."""
    plain = dict.fromkeys(("runtime.fused_qkv", "runtime.folded_audio", "runtime.fused_codec"), False)
    work = count_work(replace(rungs()["h200x1"][0], plain))
    assert work["denoise"].flops == pytest.approx(4 * 393.7e12, rel=2e-3)
    assert work["decode"].flops == pytest.approx(84.5e12, rel=2e-3)


def test_what_cannot_be_counted_is_empty() -> None:
    """Nobody measured an H200 in float32, and a plan says so."""
    assert count_work(replace(rungs()["h200x1"][0], {"runtime.dtype": "float32"})) == {}


RATES = {
    name: Ceiling(rate, "TFLOP/s", "")
    for name, rate in ((SERVED_PRODUCTS, 800.0), (ATTENTION, 600.0), (SERVED_FLOAT8, 1400.0))
}
WORK = Work(linear=800 * 10**12, attention=300 * 10**12, float8=700 * 10**12)


def test_at_the_ceilings_the_share_is_all() -> None:
    """A second of products, half a second each of attention and 8-bit products."""
    assert achieved(WORK, 2.0, 1, RATES).share == pytest.approx(1.0)
    assert achieved(WORK, 2.0, 1, RATES).tflops == pytest.approx(900)
    assert achieved(WORK, 2.0, 4, RATES).share == pytest.approx(0.25)
    assert achieved(WORK, 1.0, 4, RATES).tflops == pytest.approx(450)


def test_without_a_ceiling_there_is_no_share() -> None:
    assert achieved(WORK, 2.0, 1, {}).share is None
    assert achieved(WORK, 2.0, 1, RATES | {SERVED_FLOAT8: Ceiling(None, "TFLOP/s", "failed")}).share is None
    bf16 = Work(linear=800 * 10**12)
    assert achieved(bf16, 2.0, 1, {SERVED_PRODUCTS: RATES[SERVED_PRODUCTS]}).share == pytest.approx(0.5)
    assert math.isfinite(achieved(bf16, 2.0, 1, {}).tflops)
