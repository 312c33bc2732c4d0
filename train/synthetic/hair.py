"""Hair, brows, beard and moustache as distances in head coordinates. Called by synthetic/scene."""

from __future__ import annotations

import torch
from torch import Tensor

from train.synthetic.head import Eyes
from train.synthetic.mouth import Mouth
from train.synthetic.shapes import Columns, Point, capsule, ellipsoid, length, smooth_max, smooth_min, smooth_step


def locks(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Tensor:
    """Relief of the hair: combed grooves and curls, in head units around 0."""
    sweep = x * P["groove_x"] + y * P["groove_y"] + 0.5 * z * z
    grooves = torch.sin(P["groove_rate"] * sweep + 3 * torch.sin(2.5 * y + 2 * x)) * P["groove_depth"]
    rate = P["curl_rate"]
    curls = torch.sin(rate * x + 1.3 * torch.sin(rate * 0.6 * y)) * torch.sin(rate * y + 1.0)
    return grooves + curls * torch.sin(rate * z + torch.sin(rate * 0.5 * x)) * P["curl_depth"]


def hair(point: Point, ax: Tensor, ear: Tensor, relief: Tensor, P: Columns) -> Tensor:
    """A cap behind the hair line, a curtain for long hair, and up to four balls: bun, tails or animal ears, quiff."""
    x, y, z = point
    thick = P["hair_thick"]
    h = ellipsoid(x, y - 0.32, z + 0.12, P["head_width"] + thick, P["head_height"] + thick * 1.25, 0.88 + thick)
    edge = y - P["hair_line"] + P["parting"] * x + P["peak"] * (1 - ax * 4).clamp(min=0) + P["hair_slope"] * (0.55 - z)
    h = smooth_max(h, edge * -0.62, 0.10)
    curtain = ellipsoid(x, y - P["long_y"], z + 0.28, P["long_x"], P["long_half"], P["long_z"])
    curtain = smooth_max(curtain, (z - P["long_cut"] - 0.15 * ax) * 0.9, 0.12)
    h = smooth_min(h, curtain, 0.12)
    h = smooth_max(h, P["ear_clear"] * 9.05 - 9.0 - ear, 0.06)
    h = smooth_min(h, length(x, y - P["bun_y"], z - P["bun_z"]) - P["bun"], 0.04)
    tail = P["tail"]
    h = smooth_min(h, ellipsoid(ax - P["tail_x"], y - P["tail_y"], z + 0.2, tail, P["tail_half"], tail), 0.04)
    quiff = P["quiff"]
    top = ellipsoid(x - P["quiff_x"], y - P["quiff_y"], z - 0.28, quiff * 1.45, quiff * 0.75, quiff * 1.2)
    return (smooth_min(h, top, 0.15) + relief) * 0.9


def brows(z: Tensor, base: Tensor, eye: Eyes, P: Columns) -> Tensor:
    """Arched strips on the skin over the eyes."""
    x = eye.x - 0.02
    along = x / P["brow_length"]
    y = eye.y - P["brow_y"] - P["brow_arch"] * (0.4 - along * along) - P["brow_slope"] * x
    thick = P["brow_thick"] * (1.05 - 0.45 * along).clamp(0.3, 1.3)
    strip = length((x.abs() - P["brow_length"]).clamp(min=0), y) - thick
    return smooth_max(torch.maximum(base - 0.022, 0.1 - z), strip, 0.03)


def beard(point: Point, ax: Tensor, lips: Mouth, relief: Tensor, P: Columns) -> Tensor:
    """Beard and moustache: the skin pushed out below the cheeks and around, not on, the lips."""
    x, y, z = point
    gap = 0.5 * (P["gap_above"] + P["gap_below"])
    middle = lips.line + 0.5 * (P["gap_below"] - P["gap_above"])
    ring = (length(x / (P["mouth_half"] + 0.05), middle / (gap + 0.105)) - 1) * 0.14
    cheek = P["beard_top"] + 1.7 * (ax - 0.22).clamp(min=0).square() - y
    fuzz = torch.sin(23 * x + 2 * torch.sin(11 * y)) * torch.sin(19 * y) * 0.012
    thick = (P["beard"] + fuzz) * (1.1 - 0.5 * smooth_step(0.25, 0.75, ax))
    full = smooth_max(lips.skin - thick, smooth_min(cheek, ring, 0.10) * -0.8, 0.13)
    y0 = P["mouth_y"]
    whiskers = (
        capsule((ax, y, z), (0.04, y0 + 0.125, 0.76), (P["mouth_width"] * 1.05, y0 + 0.06, 0.675)) - P["moustache"]
    )
    return torch.minimum(full, whiskers + 0.15 * relief)
