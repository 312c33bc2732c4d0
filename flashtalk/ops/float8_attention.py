"""Attention in 8 bits (e4m3), plain: how queries, keys and values are rounded, and the product: the kernels' twin.

All three are rounded as they come. What keeps the rounding small is exact: a softmax does not see what is added to all
keys, and what is added to all values comes out once; so a mean is taken out of both (SageAttention, arXiv 2410.02367).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from flashtalk.ops.float8 import FLOAT8, FLOAT8_MAX, SMALLEST

ROWS = 128
"""Keys and values are rounded by so many at a time, with one scale for each head."""

SAMPLE = 16
"""Every so manieth token makes the mean. Any vector would do: a near one rounds as well, for a part of the reading."""

WEIGHT_MAX = 256.0
"""Of a rounded weight of the softmax; a power of two, so that one stays one."""


class Float8Attention(NamedTuple):
    """Rounded inputs of an attention, e4m3 [B, L, N, E], and what undoes their scales, float32.

    Keys and values are filled up to a multiple of ROWS with zeros, [B, T * ROWS, N, E]. Scales of queries [B, L, N, 1],
    of keys and values [B, T, N]. logits = query key * query_scale * key_scale / sqrt(E), up to what all keys of a query
    share; values = value * value_scale + value_mean.
    """

    query_BLNE: Tensor
    key_BMNE: Tensor
    value_BMNE: Tensor
    query_scale_BLN1: Tensor
    key_scale_BTN: Tensor
    value_scale_BTN: Tensor
    value_mean_BNE: Tensor


def sampled_mean(x_BLNE: Tensor) -> Tensor:
    """Mean [B, N, E] over every SAMPLE-th token, float32."""
    return x_BLNE[:, ::SAMPLE].mean(1, dtype=torch.float32).contiguous()


def round_attention(q_BLNE: Tensor, k_BLNE: Tensor, v_BLNE: Tensor) -> Float8Attention:
    """The scales of a head are its own: a rank with some of the heads computes what one with all of them does."""
    query, query_scale = _round(q_BLNE.float(), (-1,))
    value_mean = sampled_mean(v_BLNE)
    key, key_scale = _round_tiles(k_BLNE.float() - sampled_mean(k_BLNE)[:, None])
    value, value_scale = _round_tiles(v_BLNE.float() - value_mean[:, None])
    return Float8Attention(query, key, value, query_scale, key_scale, value_scale, value_mean)


def attend_rounded(rounded: Float8Attention, keys: int) -> Tensor:
    """The twin of the kernel, in float32 with all scores written out: attention [B, L, N, E] to the first `keys`."""
    query = (rounded.query_BLNE.float() * rounded.query_scale_BLN1).transpose(1, 2)
    key = _widen(rounded.key_BMNE, rounded.key_scale_BTN)[:, :, :keys]
    value = _widen(rounded.value_BMNE, rounded.value_scale_BTN)[:, :, :keys]
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    small = (weights * WEIGHT_MAX).to(FLOAT8).float() / WEIGHT_MAX
    out_BNLE = small @ value / weights.sum(-1, keepdim=True)
    return out_BNLE.transpose(1, 2) + rounded.value_mean_BNE[:, None]


def _round_tiles(wide_BLNE: Tensor) -> tuple[Tensor, Tensor]:
    filled = pad(wide_BLNE, (0, 0, 0, 0, 0, -wide_BLNE.shape[1] % ROWS))
    tiles_BTRNE = filled.unflatten(1, (-1, ROWS))
    rounded_BTRNE, scale_BT1N1 = _round(tiles_BTRNE, (2, 4))
    return rounded_BTRNE.flatten(1, 2), scale_BT1N1[:, :, 0, :, 0]


def _widen(x_BMNE: Tensor, scale_BTN: Tensor) -> Tensor:
    """[B, N, M, E], scales undone."""
    return (x_BMNE.float().unflatten(1, (-1, ROWS)) * scale_BTN[:, :, None, :, None]).flatten(1, 2).transpose(1, 2)


def _round(wide: Tensor, together: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(x * factor in e4m3, 1 / factor), the largest number along the dimensions `together` at FLOAT8_MAX.

    Half precision in 8 bits often lies halfway: the kernel rounds it alike only if its factor is the same to the bit.
    """
    largest = wide.abs().amax(together, keepdim=True).clamp(min=SMALLEST)
    factor = torch.full_like(largest, FLOAT8_MAX) / largest  # a plain number / tensor is its reciprocal, rounded twice
    return (wide * factor).to(FLOAT8), largest / FLOAT8_MAX
