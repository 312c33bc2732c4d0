"""The random numbers of a stream: a function of (seed, chunk, draw), so that no generator state has to be kept."""

from __future__ import annotations

import torch
from torch import Tensor

from flashtalk.ops.seeds import mixed_seed


class SeededNoise:
    """noise(chunk_index, draw_index, shape) -> standard-normal float32 on the device. See types.NoiseSource."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._generator = torch.Generator(device)

    def __call__(self, chunk_index: int, draw_index: int, shape: tuple[int, ...]) -> Tensor:
        """The same numbers for the same arguments on the same kind of device."""
        self._generator.manual_seed(mixed_seed(self._seed, chunk_index, draw_index))
        return torch.randn(shape, generator=self._generator, device=self._generator.device)
