"""Small constant tensors, made once a device: a copy from the host in a hot loop would stop the host each time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # kept constants must serve training too
def constant(numbers: Numbers, device: torch.device) -> Tensor:
    """`numbers` as a float32 tensor on `device`; do not write to it."""
    return torch.tensor(numbers, dtype=torch.float32, device=device)


def per_channel(numbers: Sequence[float], like_BCTHW: Tensor) -> Tensor:
    """One number a channel, shaped to broadcast over [B, C, T, H, W]."""
    return constant(tuple(numbers), like_BCTHW.device).view(1, -1, 1, 1, 1)
