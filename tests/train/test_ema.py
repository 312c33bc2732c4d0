"""Laws of the running mean: what it averages, that a swap is undone, that it lies in the same pieces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from flashtalk.errors import ConfigError
from tests.train.two_ranks import Pair, loss_of, plain, sharded, velocity, weights_of, whole
from train.ema import Ema
from train.optim import OptimConfig, Optimiser
from train.ranks import Ranks


def test_the_mean_follows_the_formula() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    ema = Ema(module, 0.5)
    wanted = 0.0
    for n in range(1, 30):
        nn.init.constant_(module.weight, n)
        ema.update()
        decay = min(0.5, (1 + n) / (10 + n))
        wanted = decay * wanted + (1 - decay) * n
        assert dict(ema.tensors())["weight"].item() == pytest.approx(wanted, rel=1e-5)
    assert ema.updates == 29


def test_a_swap_is_undone_even_after_an_error() -> None:
    module = nn.Linear(3, 2)
    ema = Ema(module, 0.9)
    nn.init.ones_(module.weight)
    mean = dict(ema.tensors())["weight"].clone()
    seen = []
    with pytest.raises(ZeroDivisionError), ema.swapped():
        seen.append(1 / int(not torch.equal(module.weight, mean)))
    assert seen == []
    assert torch.equal(module.weight, torch.ones(2, 3))
    assert torch.equal(dict(ema.tensors())["weight"], mean)


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match=str(decay)):
        Ema(nn.Linear(1, 1), decay)


def follow(dit: Any) -> dict[str, Any]:
    """Two updates; then a forward with the mean, one with the weights."""
    optimiser, ema = Optimiser(dit, OptimConfig(learning_rate=1e-2, eps=1e-5), 2), Ema(dit, 0.99)
    for sample in range(2):
        optimiser.backward(loss_of(dit, sample))
        optimiser.step()
        ema.update()
    with torch.no_grad():
        before = velocity(dit, 7)
        with ema.swapped():
            mean = velocity(dit, 7)
        after = velocity(dit, 7)
    assert torch.equal(before, after)
    return {"mean": mean, "own": after, "tensors": {n: whole(t) for n, t in ema.tensors()}, "weights": weights_of(dit)}


def follow_sharded(ranks: Ranks) -> dict[str, Any]:
    return follow(sharded(ranks))


def test_pieces_have_the_mean_of_the_whole(pair: Pair) -> None:
    wanted = follow(plain())
    assert not torch.allclose(wanted["mean"], wanted["own"], atol=1e-3)
    for found in pair.run(follow_sharded):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
