"""Convolution that is causal in time, and the history it needs to go on from one piece of video to the next.

Used by the Wan VAE and the light codec. There is one path: whole videos start from an empty cache too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class StreamCache:
    """The last frames that each layer saw. Made fresh for every stream: it belongs to the call, not to the model."""

    def __init__(self) -> None:
        self._past: dict[nn.Module, Tensor] = {}

    def started(self, layer: nn.Module) -> bool:
        """Whether `layer` saw frames before; marks it as started."""
        before = layer in self._past
        self._past.setdefault(layer, torch.empty(0))
        return before

    def extend(self, layer: nn.Module, x_BCTHW: Tensor, frames: int) -> Tensor:
        """x with the `frames` frames before it put in front: zeros at the start of a stream."""
        past = self._past.get(layer)
        full = pad(x_BCTHW, (0, 0, 0, 0, frames, 0)) if past is None else torch.cat((past, x_BCTHW), dim=2)
        # A clone, since a view would keep the whole activation alive for as long as the stream lasts.
        self._past[layer] = full[:, :, -frames:].clone()
        return full

    def fill(self, layer: nn.Module, full_BCTHW: Tensor, frames: int) -> None:
        """As `extend` for a tensor that has room: writes the `frames` frames before into the first of it."""
        past = self._past.get(layer)
        full_BCTHW[:, :, :frames] = 0 if past is None else past
        self._past[layer] = full_BCTHW[:, :, -frames:].clone()

    def recall(self, layer: nn.Module, x_BCTHW: Tensor) -> Tensor | None:
        """x with the one frame before it in front, or None at the start of a stream."""
        past = self._past.get(layer)
        self._past[layer] = x_BCTHW[:, :, -1:].clone()
        return None if past is None else torch.cat((past, x_BCTHW), dim=2)


class CausalConv3d(nn.Conv3d):
    """Conv3d, "same" in space; in time it sees the past only: kernel - 1 frames of history, zeros at first."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int, int]) -> None:
        time, height, width = (kernel_size,) * 3 if isinstance(kernel_size, int) else kernel_size
        super().__init__(in_channels, out_channels, (time, height, width), padding=(0, height // 2, width // 2))

    def forward(self, x_BCTHW: Tensor, cache: StreamCache) -> Tensor:  # type: ignore[override]
        """[B, C, T, H, W] -> [B, C', T, H, W]."""
        history = self.kernel_size[0] - 1
        return super().forward(cache.extend(self, x_BCTHW, history) if history else x_BCTHW)
