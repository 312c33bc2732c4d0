"""A running mean of a generator's weights, in the same pieces as they are. Called once for every generator update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flashtalk.errors import ConfigError
from train.weights import own_piece


@dataclass
class _Mean:
    weight: Tensor
    mean: Tensor


class Ema:
    """mean <- decay mean + (1 - decay) weight, for the parameters that require gradients; float32.

    Call `update` after updates of this network only: counting iterations of the critic too would raise the decay to
    the fifth power. The first updates use the smaller decay (1 + n) / (10 + n), so that a short run's mean is not its
    start; `updates` is n.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"an EMA's decay must lie in [0, 1); {decay} was given")
        self.decay, self.updates = decay, 0
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        assert all(p.dtype == torch.float32 and not p.is_meta for p in trained.values()), "means need filled masters"
        self._pairs = {name: _Mean(p.detach(), p.detach().clone()) for name, p in trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        means, weights = self._pieces()
        if means:
            torch._foreach_lerp_(means, weights, 1 - decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Compute with the mean (validation, export); the trained weights are back afterwards. No update inside."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The means by parameter name, for train/states.py."""
        return ((name, pair.mean) for name, pair in self._pairs.items())

    @torch.no_grad()
    def _swap(self) -> None:
        for mean, weight in zip(*self._pieces(), strict=True):
            kept = weight.clone()
            weight.copy_(mean)
            mean.copy_(kept)

    def _pieces(self) -> tuple[list[Tensor], list[Tensor]]:
        pairs = [(own_piece(pair.mean), own_piece(pair.weight)) for pair in self._pairs.values()]
        held = [(mean, weight) for mean, weight in pairs if mean.numel()]
        return [mean for mean, _ in held], [weight for _, weight in held]
