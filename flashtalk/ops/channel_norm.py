"""What stands between the VAE's convolutions: norm over channels and SiLU, written where the next one reads, and the
bias of the one before. Called by engine/fast_vae.py.

On a GPU one kernel reads and writes each number once; its plain twin is what other devices run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

NUMBERS = 4096
"""Handled by one program of the kernel."""


def norm_silu_into(out_BCTHW: Tensor, x_BCTHW: Tensor, gamma_C: Tensor) -> None:
    """out = silu(x / ||x||_2 over channels * sqrt(C) * gamma)."""
    if x_BCTHW.is_meta:
        out_BCTHW.copy_(x_BCTHW)  # plans count what the kernel moves
    elif x_BCTHW.is_cuda and all(_rows_lie_together(video) for video in (*x_BCTHW, *out_BCTHW)):
        for out_CTHW, x_CTHW in zip(out_BCTHW, x_BCTHW, strict=True):
            _launch(out_CTHW, x_CTHW, gamma_C)
    else:
        norm_silu_plain(out_BCTHW, x_BCTHW, gamma_C)


def norm_silu_plain(out_BCTHW: Tensor, x_BCTHW: Tensor, gamma_C: Tensor) -> None:
    """The twin, in the operations of models/vae.ChannelNorm."""
    channels = x_BCTHW.shape[1]
    normed = F.normalize(x_BCTHW, dim=1) * (gamma_C.view(-1, 1, 1, 1) * channels**0.5)
    out_BCTHW.copy_(F.silu(normed))


def add_bias(x_BCTHW: Tensor, bias_C: Tensor) -> Tensor:
    """x + bias, in place. torch's own broadcast over channels that lie last reaches a quarter of a GPU's bandwidth."""
    if not (x_BCTHW.is_cuda and all(map(_rows_lie_together, x_BCTHW))):
        return x_BCTHW.add_(bias_C.view(-1, 1, 1, 1))
    grid = (-(-x_BCTHW.numel() // NUMBERS),)
    with torch.cuda.device(x_BCTHW.device):
        _bias_kernel()[grid](x_BCTHW, bias_C, x_BCTHW.numel(), len(bias_C), NUMBERS)
    return x_BCTHW


def _rows_lie_together(video_CTHW: Tensor) -> bool:
    """Channels last, pixel after pixel without gaps."""
    return video_CTHW.permute(1, 2, 3, 0).is_contiguous()


def _launch(out_CTHW: Tensor, x_CTHW: Tensor, gamma_C: Tensor) -> None:
    channels, pixels = x_CTHW.shape[0], x_CTHW[0].numel()
    columns = 1 << (channels - 1).bit_length()
    rows = max(1, NUMBERS // columns)
    grid = (-(-pixels // rows),)
    with torch.cuda.device(x_CTHW.device):  # Triton starts kernels on the current one
        _kernel()[grid](out_CTHW, x_CTHW, gamma_C, pixels, channels**0.5, channels, columns, rows)


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """Made on first use: Triton comes with torch for CUDA only."""
    import triton  # noqa: PLC0415
    import triton.language as tl  # noqa: PLC0415

    @triton.jit  # type: ignore[untyped-decorator]
    def norm_silu(  # type: ignore[no-untyped-def]  # Triton looks every annotation up, and knows no other types
        out, x, gamma, pixels, root, channels: tl.constexpr, columns: tl.constexpr, rows: tl.constexpr
    ) -> None:
        pixel = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)[:, None]
        channel = tl.arange(0, columns)[None, :]
        inside = (pixel < pixels) & (channel < channels)
        place = pixel * channels + channel
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        length = tl.sqrt(tl.sum(value * value, axis=1))[:, None]
        scale = tl.load(gamma + channel, mask=channel < channels, other=0.0).to(tl.float32) * root
        normed = value / tl.maximum(length, 1e-12) * scale
        tl.store(out + place, (normed * tl.sigmoid(normed)).to(out.dtype.element_ty), mask=inside)

    return norm_silu


@lru_cache(maxsize=1)
def _bias_kernel() -> Any:
    import triton  # noqa: PLC0415
    import triton.language as tl  # noqa: PLC0415

    @triton.jit  # type: ignore[untyped-decorator]
    def add_bias(x, bias, numbers, channels: tl.constexpr, block: tl.constexpr) -> None:  # type: ignore[no-untyped-def]
        start = tl.program_id(0).to(tl.int64) * block
        place = start + tl.arange(0, block)
        channel = ((start % channels).to(tl.int32) + tl.arange(0, block)) % channels
        value = tl.load(x + place, mask=place < numbers).to(tl.float32) + tl.load(bias + channel).to(tl.float32)
        tl.store(x + place, value.to(x.dtype.element_ty), mask=place < numbers)

    return add_bias
