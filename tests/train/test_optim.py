"""Laws of the optimiser: it is AdamW, clips what it says, decays matrices only, and never takes a bad step."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from train.optim import Diverged, OptimConfig, Optimiser, decays, learning_rate, round_at_random

RATES = OptimConfig(learning_rate=1e-2, betas=(0.5, 0.9), weight_decay=0.1, clip_norm=0)


def make(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 2))


def loss_of(module: nn.Module, seed: int) -> Tensor:
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
    return module(x).square().mean() * 10


def run(module: nn.Module, config: OptimConfig, updates: int = 20) -> Optimiser:
    optimiser = Optimiser(module, config, updates)
    for update in range(updates):
        optimiser.backward(loss_of(module, update))
        optimiser.step()
    return optimiser


def difference(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


def test_it_is_adamw_with_decay_on_matrices_only() -> None:
    module, twin = make(), make()
    run(module, RATES)
    matrices = [p for p in twin.parameters() if p.ndim == 2]
    others = [p for p in twin.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=1e-2, betas=(0.5, 0.9), eps=1e-8, foreach=False, fused=False)
    for update in range(20):
        loss_of(twin, update).backward()
        adam.step()
        adam.zero_grad()
    assert difference(module, twin) < 1e-6


def test_what_decays() -> None:
    matrix = torch.zeros(2, 3)
    assert decays("blocks.0.ffn.0.weight", matrix)
    assert decays("patch_embedding.weight", torch.zeros(2, 3, 1, 2, 2))
    assert not decays("blocks.0.modulation", torch.zeros(1, 6, 3))
    assert not decays("norm.weight", torch.zeros(3))
    assert not decays("bias", torch.zeros(3))


def test_micro_batches_add_up() -> None:
    module, twin = make(), make()
    optimiser, whole = Optimiser(module, RATES, 1), Optimiser(twin, RATES, 1)
    for part in range(4):
        optimiser.backward(loss_of(module, part), 4)
    whole.backward(torch.stack([loss_of(twin, part) for part in range(4)]).mean())
    assert optimiser.step().gradient_norm == pytest.approx(whole.step().gradient_norm, rel=1e-6)
    assert difference(module, twin) < 1e-6


@pytest.mark.parametrize("clip", [0.01, 1e6])
def test_gradients_are_clipped_together(clip: float) -> None:
    module = make()
    config = OptimConfig(learning_rate=1e-3, clip_norm=clip, betas=(0.0, 0.9))
    optimiser = Optimiser(module, config, 1)
    optimiser.backward(loss_of(module, 0))
    before = torch.cat([p.grad.flatten().clone() for p in module.parameters() if p.grad is not None])
    report = optimiser.step()
    taken = torch.cat([tensor.flatten() for name, tensor in optimiser.moments() if name.endswith("exp_avg")])
    assert report.gradient_norm == pytest.approx(before.norm().item(), rel=1e-5)
    torch.testing.assert_close(taken, before * min(1, clip / before.norm().item()), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_gradient_moves_nothing(bad: float) -> None:
    module = make()
    config = OptimConfig(learning_rate=1e-2, most_bad_in_a_row=2)
    optimiser = run(module, config, 1)
    before = {name: tensor.clone() for name, tensor in (*module.state_dict().items(), *optimiser.moments())}
    for turn in (1, 2):
        optimiser.backward(loss_of(module, 0) * bad)
        assert optimiser.step().skipped
        after = {name: tensor.clone() for name, tensor in (*module.state_dict().items(), *optimiser.moments())}
        torch.testing.assert_close(after, before, rtol=0, atol=0)
        assert (optimiser.updates, optimiser.bad) == (1, turn)
    optimiser.backward(loss_of(module, 0))
    assert not optimiser.step().skipped
    for _ in range(2):
        optimiser.backward(loss_of(module, 0) * bad)
        optimiser.step()
    optimiser.backward(loss_of(module, 0) * bad)
    with pytest.raises(Diverged, match="3 times in a row"):
        optimiser.step()


def test_masters_are_float32() -> None:
    with pytest.raises(AssertionError, match="not float32"):
        Optimiser(make().bfloat16(), OptimConfig(), 1)


def test_frozen_parameters_stay() -> None:
    module = make()
    module[0].requires_grad_(False)
    before = module.state_dict()["0.weight"].clone()
    optimiser = run(module, RATES, 3)
    assert torch.equal(module.state_dict()["0.weight"], before)
    assert not any(name.startswith("0.") for name, _ in optimiser.moments())


# The rate.


@given(
    warmup=st.integers(0, 20),
    total=st.integers(1, 200),
    update=st.integers(0, 300),
    floor=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "cosine"]),
)
def test_the_rate_stays_in_its_bounds(warmup: int, total: int, update: int, floor: float, schedule: str) -> None:
    config = OptimConfig(learning_rate=2.0, warmup_updates=warmup, schedule=schedule, cosine_floor=floor)  # type: ignore[arg-type]
    rate = learning_rate(config, update, total)
    assert 0 < rate <= 2.0 or floor == 0 <= rate
    if update < warmup:
        assert rate < learning_rate(config, update + 1, total) + 1e-12
    else:
        assert rate >= learning_rate(config, update + 1, total)
    if update >= max(total, warmup) and schedule == "cosine" and total > warmup:
        assert rate == pytest.approx(2.0 * floor)


def test_the_rate_warms_up_and_falls() -> None:
    config = OptimConfig(learning_rate=1.0, warmup_updates=4, schedule="cosine", cosine_floor=0.1)
    rates = [learning_rate(config, update, 24) for update in range(25)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[14] == pytest.approx(0.55)
    assert rates[24] == pytest.approx(0.1)


def test_settings_out_of_range_are_named() -> None:
    bad = OptimConfig(learning_rate=0, betas=(1.0, 0.9), cosine_floor=2, eps=-1)
    assert [line.split()[0] for line in bad.problems()] == ["learning_rate", "betas", "cosine_floor", "eps"]
    assert list(OptimConfig().problems()) == []


# Moments in bfloat16.


def test_moments_in_bf16_learn_alike() -> None:
    module, twin = make(), make()
    config = OptimConfig(learning_rate=1e-2, betas=(0.9, 0.999), moments="bfloat16")
    optimiser = run(module, config, 60)
    run(twin, OptimConfig(learning_rate=1e-2, betas=(0.9, 0.999)), 60)
    assert {t.dtype for name, t in optimiser.moments() if not name.endswith("step")} == {torch.bfloat16}
    start = make()
    assert difference(module, twin) < 0.05 * difference(start, twin)
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_rounding_at_random_keeps_the_mean() -> None:
    value = torch.full((200_000,), 1 + 2**-9)  # a quarter of the way between two values of bf16
    rounded = round_at_random(value).float()
    assert set(rounded.tolist()) == {1.0, 1 + 2**-7}
    assert rounded.mean().item() == pytest.approx(value[0].item(), abs=3e-5)


@given(st.floats(0, 2.0**99, width=32))
def test_values_of_bf16_are_not_rounded(value: float) -> None:
    exact = torch.tensor([value]).bfloat16()
    assert torch.equal(round_at_random(exact.float()), exact)
