"""Lips, cavity, teeth and tongue as distances. Called by synthetic/scene, painted by synthetic/paint.

The mouth is drawn on the face: `opening` measures along it, the face's own distance measures out of it, so that lips
sit right on a head of any shape.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.shapes import Columns, ellipsoid, length, mix, smooth_max, smooth_min, smooth_step


class Mouth(NamedTuple):
    """Distances of skin with lips, teeth and tongue, and what the paint needs.

    opening: along the face, negative between the inner lips. lips: distance to the lip tubes. line: height over the
    mouth line. upper: 1 on the upper lip's side, 0 on the lower's.
    """

    skin: Tensor
    lips: Tensor
    teeth: Tensor
    tongue: Tensor
    opening: Tensor
    line: Tensor
    upper: Tensor
    lip_radius: Tensor


def mouth(x: Tensor, y: Tensor, z: Tensor, ax: Tensor, face: Tensor, P: Columns) -> Mouth:
    """Cut the opening into the face, lay the lips around it, put teeth and tongue behind."""
    width = P["mouth_half"]
    across = ax / width
    square = across * across
    base = y - P["mouth_y"] - P["corner_lift"] * (square.clamp(max=2.0) - 0.35)
    line = base + P["line_drop"]
    opening = _opening(ax, across, square, line, P)
    upper = smooth_step(-0.04, 0.04, line)
    taper = P["corner_fullness"] + (1 - P["corner_fullness"]) * (1 - square * 0.94).clamp(0, 1)
    bow = P["upper_lip"] * (1 - 0.24 * (1 - ax * 13).clamp(min=0))
    radius = mix(P["lower_lip"], bow, upper) * taper
    inset = mix(P["lower_inset"], P["upper_inset"], upper)
    lips = length((opening - radius * 0.95) * 0.92, face + inset) - radius
    cavity = torch.maximum(opening + P["seal"], 0.34 - z)
    skin = smooth_min(smooth_max(face, -cavity, 0.03), lips, 0.03)
    teeth, tongue = _inside(x, z, base, P)
    return Mouth(skin, lips, teeth, tongue, opening, line, upper, radius)


def _opening(ax: Tensor, across: Tensor, square: Tensor, line: Tensor, P: Columns) -> Tensor:
    """Signed distance, along the face, to the gap between the lips: an oval when open, a lens when nearly shut."""
    half = torch.where(line > 0, P["gap_above"], P["gap_below"])
    up = line / half
    radius = length(across, up)
    oval = radius * (radius - 1) / (length(across / P["mouth_half"], up / half) + 1e-3)
    lens = length((ax - P["mouth_half"]).clamp(min=0), line) - half * (1 - square).clamp(0, 1)
    return mix(lens, oval, smooth_step(0.12, 0.40, half / P["mouth_half"]))


def _inside(x: Tensor, z: Tensor, base: Tensor, P: Columns) -> tuple[Tensor, Tensor]:
    """Two rows of teeth on an arc (the lower one moves with the jaw) and the tongue."""
    arc = length(x * 0.92, z - 0.40) - 0.272
    top = smooth_max(arc, (base - P["teeth_y"]).abs() - 0.07, 0.03)
    bottom = smooth_max(arc + 0.015, (base + P["teeth_drop"]).abs() - 0.05, 0.03)
    reach = P["tongue_reach"]
    tongue = ellipsoid(x, base + P["tongue_y"], z - 0.44 - 0.17 * reach, 0.17, 0.065, 0.20)
    return torch.minimum(top, bottom), tongue
