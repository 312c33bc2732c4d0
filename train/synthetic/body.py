"""Neck, torso, arms and clothes as distances in torso coordinates. Called by synthetic/scene."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.shapes import Columns, capsule, ellipsoid, length, smooth_max, smooth_min


class Body(NamedTuple):
    """Distances to bare skin, to cloth and to what is wound around the neck; `y` moves with the shoulders."""

    skin: Tensor
    cloth: Tensor
    scarf: Tensor
    neck: Tensor
    y: Tensor


def body(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Body:
    """The torso goes on below the picture; shrug and breath lift the shoulders, breath fills the chest."""
    ax = x.abs()
    neck = length(x, z + 0.20, ((y + 0.95).abs() - 0.45).clamp(min=0)) - P["neck"]
    moved = y - P["shoulder_lift"]
    width = P["shoulders"]
    trunk = capsule((ax, moved, z), (0.0, -1.50, -0.22), (width, -1.74 + P["shrug_tip"], -0.22)) - 0.34
    arm_x = ax - width - 0.06 - 0.10 * (-1.7 - moved).clamp(0, 1)
    arm = length(arm_x, z + 0.20, (moved + 1.80).clamp(min=0)) - 0.30
    chest_y = (moved + 2.20).clamp(min=0)
    chest = ellipsoid(x, chest_y, z + 0.10, width * 1.02, 0.95, P["chest"])
    trunk = smooth_min(smooth_min(trunk, arm, 0.10), chest, 0.3)
    skin = smooth_min(neck, trunk, 0.22)
    wedge = torch.maximum((ax - (moved - P["vee_y"]) * 0.42) * 0.92, -z - 0.1)
    hole = torch.minimum(length(x, z + 0.14) - P["neckline"], wedge)
    cloth = smooth_max(skin - 0.04, -hole, 0.04)
    tube = length(x, z + 0.20) - P["neck"] - 0.06
    turtle = smooth_max(tube, (y + 1.35).abs() - 0.33, 0.08) + 9 * (1 - P["turtle"])
    wound = length(length(x, (z + 0.17) * 0.92) - P["neck"] - 0.13, (moved + 1.13 + 0.10 * z) * 0.8)
    scarf = wound - P["scarf"] - 0.014 * torch.sin(9 * torch.atan2(x, z + 0.17 + 1e-5) + 14 * moved)
    bare = torch.minimum(smooth_min(neck, trunk, 0.06), skin)
    return Body(bare, torch.minimum(cloth, turtle), scarf * 0.9, neck, moved)
