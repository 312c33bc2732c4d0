"""What is behind the character: gradients, lights, stripes, a room. Called by synthetic/render for whole pictures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from train.synthetic.shapes import Columns, length, mix, smooth_step

VIVID = 1.35
"""Saturation that the tone curve takes away from light colours and that is put back here."""


def background(u: Tensor, v: Tensor, P: Columns) -> Tensor:
    """Linear RGB [rows, 3, H, W]; u to the right and v up, in half pictures of the height; columns [rows, 1, 1]."""
    slope = smooth_step(-1.2, 1.2, v + 0.3 * P["background_slant"] * u)
    amount, toward = _pattern(u, v, P)
    vignette = 1.3 - 0.20 * (u * u * 0.6 + v * v) + 0.20 * torch.exp(-2.2 * (u * u + (v - 0.1).square()))
    channels = []
    for channel in "rgb":
        base = mix(P[f"deep_{channel}"], P[f"light_{channel}"], slope)
        channels.append(mix(base, P[f"second_{channel}"] * toward + base * (1 - toward) * 0.55, amount) * vignette)
    picture = torch.stack(channels, 1)
    grey = picture.mean(1, keepdim=True)
    return (grey + (picture - grey) * VIVID).clamp(min=0)


def _pattern(u: Tensor, v: Tensor, P: Columns) -> tuple[Tensor, Tensor]:
    """How much of the pattern covers a point, and whether it brightens (1) or darkens (0)."""
    phase = P["background_phase"]
    stripes = smooth_step(-0.12, 0.12, torch.sin(7 * (u + 0.6 * v * P["background_slant"]) + phase)) * 0.25
    turn = torch.sin(12 * torch.atan2(v + 0.9, u + 1e-5) + phase)
    rays = smooth_step(-0.12, 0.12, turn) * 0.22
    disc = smooth_step(0.86, 0.84, length(u - 0.15 * torch.sin(phase), v - 0.05)) * 0.45
    lights = _lights(u, v, phase) * 0.35
    window, shade = _window(u - 0.25 * torch.sin(phase), v)
    shelf, books = _shelf(u, v, phase)
    bright = P["background_stripes"] * stripes + P["background_rays"] * rays + P["background_disc"] * disc
    bright = bright + P["background_bokeh"] * lights + P["background_window"] * window + P["background_shelf"] * books
    dark = P["background_window"] * shade + P["background_shelf"] * shelf
    return (bright + dark).clamp(max=1), bright / (bright + dark + 1e-4)


def _lights(u: Tensor, v: Tensor, phase: Tensor) -> Tensor:
    """Blurred discs."""
    total = torch.zeros_like(u + phase)
    for i in range(8):
        x, y = 1.5 * torch.sin(i * 2.4 + phase), 0.85 * torch.cos(i * 1.7 + 1.3 * phase)
        radius = 0.22 + 0.1 * math.sin(i * 5)
        total = total + smooth_step(radius + 0.04, radius - 0.06, length(u - x, v - y)) * (0.5 + 0.06 * i)
    return total.clamp(max=1.2)


def _window(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Bright panes and a darker frame."""
    edge = torch.maximum(u.abs() - 1.0, (v - 0.25).abs() - 0.95)
    pane = torch.maximum(0.03 - u.abs(), 0.03 - (v - 0.3).abs())
    glass = smooth_step(0.02, -0.03, torch.maximum(edge, pane))
    frame = smooth_step(0.08, 0.05, edge) * (1 - glass)
    return glass * 0.62, frame * 0.5


def _shelf(u: Tensor, v: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    """Boards, and backs of books of many heights."""
    level = (v + 0.1) / 0.62
    within = level - level.floor()
    board = smooth_step(0.09, 0.06, within) * 0.6
    slot = u / 0.11 + phase
    number = slot.floor() + 13 * level.floor()
    tall = 0.45 + 0.28 * torch.sin(number * 12.9)
    book = smooth_step(0.02, -0.02, within - 0.09 - tall) * (within > 0.08) * (torch.sin(number * 7.3) > -0.55)
    edge = smooth_step(0.5, 0.42, (slot - slot.floor() - 0.5).abs())
    tint = 0.5 + 0.5 * torch.sin(number * 4.7)
    return board + book * edge * (1 - tint) * 0.55, book * edge * tint * 0.5
