"""Skull, face, nose, ears, eyes and lids as distances in head coordinates. Called by synthetic/scene.

Head coordinates: x to the right of the picture, y up, z to the camera; a head is about 2 units high.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.shapes import Columns, Point, capsule, ellipsoid, length, smooth_max, smooth_min


class Eyes(NamedTuple):
    """Eyeballs and lids: distances, and what the paint needs (offsets from the eye's centre, lid edges)."""

    ball: Tensor
    lids: Tensor
    radius: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    tilted_x: Tensor
    tilted_y: Tensor
    above_upper: Tensor
    below_lower: Tensor


def skull(x: Tensor, y: Tensor, z: Tensor, ax: Tensor, P: Columns) -> Tensor:
    """Cranium, jaw, chin, cheeks and the bulge that carries the mouth; the jaw moves and no space is bent."""
    drop = P["drop"]
    s = ellipsoid(x, y - 0.32, z + 0.08, P["head_width"], P["head_height"], P["head_depth"])
    jaw_y = y + 0.20 + 0.42 * drop
    s = smooth_min(
        s, ellipsoid(x, jaw_y, z - 0.08, P["jaw_width"] * (1 + 0.2 * drop), P["jaw_length"] + 0.34 * drop, 0.62), 0.28
    )
    corner = ellipsoid(ax - P["corner_x"], y + P["corner_y"] + 0.30 * drop, z - 0.12, P["corner"], P["corner"], 0.24)
    s = smooth_min(s, corner, 0.24)
    cheek = P["cheek"]
    s = smooth_min(s, ellipsoid(ax - 0.36, y + 0.22 - P["cheek_lift"], z - 0.40, cheek, cheek, 0.26), 0.24)
    chin = P["chin"]
    s = smooth_min(s, ellipsoid(x, y - P["chin_y"] + 0.90 * drop, z - 0.42, chin * 1.15, chin * 0.85, chin), 0.24)
    bulge_y = y - P["mouth_y"] + 0.45 * drop
    return smooth_min(s, ellipsoid(x, bulge_y, z - 0.50, 0.29, 0.20 + 0.42 * drop, P["bulge"]), 0.20)


def eyes(x: Tensor, y: Tensor, z: Tensor, ax: Tensor, P: Columns) -> Eyes:
    """Two eyeballs; each lid is a shell cut by a plane that turns about the eye's axis."""
    ex, ey, ez = ax - P["eye_x"], y - P["eye_y"], z - P["eye_z"]
    size, radius = P["eye_size"], length(ex, ey, ez)
    tx, ty = ex * P["tilt_cos"] + ey * P["tilt_sin"], ey * P["tilt_cos"] - ex * P["tilt_sin"]
    left = x > 0
    upper_cos = torch.where(left, P["upper_cos_left"], P["upper_cos_right"])
    upper_sin = torch.where(left, P["upper_sin_left"], P["upper_sin_right"])
    lower_cos = torch.where(left, P["lower_cos_left"], P["lower_cos_right"])
    lower_sin = torch.where(left, P["lower_sin_left"], P["lower_sin_right"])
    above, below = ty * upper_cos - ez * upper_sin, ez * lower_sin - ty * lower_cos
    upper = smooth_max(radius - size * 1.10, -above, 0.02)
    lower = smooth_max(radius - size * 1.045, -below, 0.02)
    return Eyes(radius - size, torch.minimum(upper, lower), radius, ex, ey, ez, tx, ty, above, below)


def sockets(s: Tensor, eye: Eyes, P: Columns) -> Tensor:
    """The face with shallow hollows before the eyes."""
    hollow = length(eye.x * 0.85, eye.y, eye.z - 0.20) - P["eye_size"] * P["socket"]
    return smooth_max(s, -hollow, 0.26)


def nose(point: Point, ax: Tensor, P: Columns) -> Tensor:
    """Bridge, tip and wings."""
    x, y, z = point
    tip_y, tip_z, tip = P["nose_y"], P["nose_z"], P["nose_tip"]
    bridge = capsule(point, (0.0, P["eye_y"] - 0.01, 0.64), (0.0, tip_y, tip_z - 0.06)) - P["nose_bridge"]
    d = smooth_min(bridge, ellipsoid(x, y - tip_y, z - tip_z, tip * 1.05, tip * 0.9, tip), 0.08)
    wings = length(ax - P["nose_width"], y - tip_y + 0.025, z - tip_z + 0.07) - tip * 0.58
    return smooth_min(d, wings, 0.05)


def ears(y: Tensor, z: Tensor, ax: Tensor, P: Columns) -> Tensor:
    """Flat shells with a hollow; pointed ones are stretched upwards."""
    ear_x, ear_y, ear_z, size = ax - P["ear_x"], y + 0.02, z + 0.08, P["ear_size"]
    ear_y = ear_y - P["ear_point"] * (ear_y.clamp(min=0) + ear_x)
    shell = ellipsoid(ear_x - 0.02, ear_y, ear_z + 0.35 * ear_x, 0.075, size * 0.20, size * 0.13)
    hollow = ellipsoid(ear_x - 0.07, ear_y - 0.01, ear_z - 0.05, 0.05, size * 0.13, size * 0.075)
    return smooth_max(shell, -hollow, 0.03)
