"""What the toys share: a small network that the production sampler runs in the DiT's place, and its training by flow.

Toy latents are [B, C, T]: the production functions take any shape after T. Called by the experiments beside it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.pipeline.denoise import DrawNoise, Sampler, denoise
from train.losses import pin

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
"""velocity(noisy_BCT, sigma_B, condition_BD) -> [B, C, T]."""


@dataclass(frozen=True)
class Scale:
    """How much is spent: samples a batch, width of the networks, updates before and during DMD, chunks of a stream."""

    batch: int
    width: int
    pretraining: int
    iterations: int
    chunks: int


class ToyNetwork(nn.Module):
    """A multilayer perceptron on the flattened latents, the condition and the level; returns the velocity."""

    levels = 4

    def __init__(self, channels: int, frames: int, condition: int = 0, width: int = 256, depth: int = 3) -> None:
        super().__init__()
        sizes = [channels * frames + condition + 1 + 2 * self.levels, *[width] * depth]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, channels * frames)

    def forward(self, noisy_BCT: Tensor, sigma_B: Tensor, condition_BD: Tensor) -> Tensor:
        """See `Velocity`."""
        angles = sigma_B[:, None] * math.pi * 2.0 ** torch.arange(self.levels)
        rows = torch.cat((noisy_BCT.flatten(1), condition_BD, sigma_B[:, None], angles.sin(), angles.cos()), dim=1)
        for layer in self.hidden:
            rows = F.silu(layer(rows))
        return self.out(rows).view_as(noisy_BCT)


def seeded(make: Callable[[], ToyNetwork], seed: int) -> ToyNetwork:
    """A network whose weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def draws_of(generator: torch.Generator, shape: Sequence[int]) -> DrawNoise:
    """A new standard-normal tensor a call, in the order of calls."""
    return lambda _index: torch.randn(tuple(shape), generator=generator)


def few_steps(
    network: Velocity,
    draw: DrawNoise,
    motion_BCM: Tensor,
    condition_BD: Tensor,
    sigmas: Sequence[float],
    *,
    exit_step: int | None = None,
) -> Tensor:
    """The production `denoise` around a toy, motion pinned. Only its last forward has a graph.

    It predicts x0 and adds fresh noise of the next level; with `exit_step` it stops at the x0 of that step.
    """

    def forward(
        noisy: Tensor, _reference: None, sigma: float, _positions: None, condition: Tensor, _audio: None
    ) -> Tensor:
        return network(noisy, torch.full((len(noisy),), sigma), condition)

    sampler = Sampler(tuple(sigmas), cast(Any, tuple(sigmas[:-1])))
    none, condition = cast(Any, None), cast(Any, condition_BD)
    made = denoise(cast(Any, forward), sampler, draw, motion_BCM, none, none, condition, none, exit_step=exit_step)
    return pin(made, motion_BCM)


def euler_steps(
    network: Velocity,
    draw: DrawNoise,
    motion_BCM: Tensor,
    condition_BD: Tensor,
    sigmas: Sequence[float],
    *,
    exit_step: int | None = None,
) -> Tensor:
    """The same levels as an ODE solver walks them, noise drawn once: right for a teacher, a trap for a student."""
    last = len(sigmas) - 2 if exit_step is None else exit_step
    noisy = pin(draw(0), motion_BCM)
    for step in range(last + 1):
        with torch.set_grad_enabled(torch.is_grad_enabled() and step == last):
            velocity = network(noisy, torch.full((len(noisy),), sigmas[step]), condition_BD)
        target = 0.0 if step == last else sigmas[step + 1]
        noisy = pin(noisy - (sigmas[step] - target) * velocity, motion_BCM)
    return noisy


class Averaged:
    """Exponential moving average of a network's weights; `network` holds it."""

    def __init__(self, network: ToyNetwork, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(network), decay

    @torch.no_grad()
    def update(self, network: ToyNetwork) -> None:
        """One step towards the weights of `network`."""
        for average, value in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(value, 1 - self.decay)


class Trainer:
    """Adam with a learning rate that falls along a cosine to a tenth."""

    def __init__(self, network: ToyNetwork, lr: float, steps: int, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.optimizer = torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)
        self.rate = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda i: 0.55 + 0.45 * math.cos(math.pi * min(i / steps, 1))
        )
        self.parameters = list(network.parameters())

    def step(self, loss: Tensor) -> None:
        """Backward and one update, clipped at a global norm of 10."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 10.0)
        self.optimizer.step()
        self.rate.step()


def fit(network: ToyNetwork, loss: Callable[[int], Tensor], steps: int, lr: float, decay: float = 0.995) -> ToyNetwork:
    """Minimise loss(i) for `steps` updates; the average of the weights is returned, `network` is changed."""
    trainer, average = Trainer(network, lr, steps), Averaged(network, decay)
    for i in range(steps):
        trainer.step(loss(i))
        average.update(network)
    return average.network
