"""Muon: steps of equal length in all directions of a matrix, AdamW for the rest, and a state that can be saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.muon import Muon, is_matrix, orthogonal
from train.optim import OptimConfig, Optimiser


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 12), (2, 12, 5)])
def test_singular_values_become_about_one(shape: tuple[int, int, int]) -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(0))))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_it_learns() -> None:
    torch.manual_seed(0)
    x = torch.randn(256, 16)
    target, net, losses = x @ torch.randn(16, 16), nn.Linear(16, 16), []
    config = OptimConfig(kind="muon", learning_rate=0.3, weight_decay=0.0, schedule="cosine", cosine_floor=0.0)
    optimiser = Optimiser(net, config, 100)
    for _ in range(100):
        loss = (net(x) - target).square().mean()
        optimiser.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_shapes_alike_turn_together_as_they_would_alone() -> None:
    torch.manual_seed(0)
    together = nn.ModuleList([nn.Linear(6, 4) for _ in range(3)])
    apart = [nn.Linear(6, 4) for _ in range(3)]
    for one, other in zip(together, apart, strict=True):
        other.load_state_dict(one.state_dict())
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
    groups = [{"params": list(together.parameters()), "weight_decay": 0.1}]
    Muon(groups, rate=0.1, betas=(0.9, 0.99), eps=1e-8).step()
    for other in apart:
        Muon([{"params": list(other.parameters()), "weight_decay": 0.1}], rate=0.1, betas=(0.9, 0.99), eps=1e-8).step()
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one.weight, other.weight)
        torch.testing.assert_close(one.bias, other.bias)


def test_every_parameter_has_its_state_from_the_start() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1), nn.LayerNorm(4))
    optimiser = Optimiser(net, OptimConfig(kind="muon", learning_rate=0.1), 1)
    names = {name.rpartition("/")[2] for name, _ in optimiser.moments()}
    assert names == {"momentum", "step", "exp_avg", "exp_avg_sq"}
    assert [is_matrix(p) for p in net.parameters()] == [True, False, False, False, False, False]
