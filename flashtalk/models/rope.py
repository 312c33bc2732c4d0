"""Rotary position embedding over (frame, row, column), for the tokens that a TokenLayout names. Called by the DiT."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from flashtalk.types import TokenLayout

THETA = 10000.0


@dataclass(frozen=True)
class Positions:
    """Where the held tokens are: their layout and the rotation of each, cos and sin of shape [L, 1, E/2], float32."""

    layout: TokenLayout
    cos: Tensor
    sin: Tensor


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)  # kept tables must serve training too
def rotary_positions(layout: TokenLayout, head_dim: int, device: torch.device) -> Positions:
    """Tables for `layout`. The head is cut in three: E - 4 (E // 6) for frames, 2 (E // 6) for rows and for columns.

    Built in float64 on the host, once a picture size: 10000^-x loses digits in float32. Do not write to them.
    """
    _, rows, columns = layout.grid.token_shape
    token = torch.arange(layout.start, layout.start + layout.count)
    axes = (token // (rows * columns), token // columns % rows, token % columns)
    part = 2 * (head_dim // 6)
    widths = (head_dim - 2 * part, part, part)
    angle_LE = torch.cat([_angles(axis, width) for axis, width in zip(axes, widths, strict=True)], dim=1)
    cos, sin = (f(angle_LE)[:, None].to(device, torch.float32) for f in (torch.cos, torch.sin))
    return Positions(layout, cos, sin)


def rotate(x_BLNE: Tensor, positions: Positions) -> Tensor:
    """Turn each interleaved pair of features by its token's angle, in float32."""
    even, odd = x_BLNE.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = positions.cos, positions.sin
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x_BLNE.dtype)


def _angles(position_L: Tensor, width: int) -> Tensor:
    rate = THETA ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return position_L.double()[:, None] * rate
