"""What is worn on the head: glasses, hat, ear rings, as distances in head coordinates. Called by synthetic/scene."""

from __future__ import annotations

import torch
from torch import Tensor

from train.synthetic.head import Eyes
from train.synthetic.shapes import Columns, Point, capsule, ellipsoid, length, smooth_max, smooth_min


def glasses(point: Point, ax: Tensor, eye: Eyes, P: Columns) -> Tensor:
    """Round to square rims, bridge and temples."""
    y, z = point[1:]
    plane = z - P["glasses_z"] + 0.25 * ax * ax
    square = ((eye.x**2) ** 2 + (eye.y**2) ** 2 + 1e-9) ** 0.25
    rim = square * P["glasses_square"] + length(eye.x, eye.y) * (1 - P["glasses_square"])
    d = length(rim - P["glasses"], plane) - P["glasses_wire"]
    hinge = (P["eye_x"] + P["glasses"], P["eye_y"] + 0.05, P["glasses_z"] - 0.1)
    temple = capsule((ax, y, z), hinge, (P["head_width"] + 0.03, 0.06, P["glasses_z"] - 0.9)) - 0.018
    bridge = length((ax - P["eye_x"] + P["glasses"]).clamp(min=0), eye.y - 0.04, plane) - 0.018
    return torch.minimum(d, torch.minimum(temple, bridge))


def hat(point: Point, P: Columns) -> Tensor:
    """A dome cut by a tilted plane, with a rolled band, a brim or visor and a ball on top (each may be away)."""
    x, y, z = point
    grow, height = P["hat_grow"], P["hat_height"]
    level = y - P["hat_line"] + P["hat_tilt"] * (z + 0.1)
    dome = ellipsoid(x, y - 0.34, z + 0.12, P["head_width"] + grow, P["head_height"] + height, 0.86 + grow)
    ribs = torch.sin(torch.atan2(x, z + 0.12 + 1e-5) * 34) * P["hat_ribs"]
    band = smooth_max(dome - 0.055 - ribs, level.abs() - P["hat_band"], 0.05)
    d = smooth_min(smooth_max(dome, -level, 0.04), band, 0.015)
    outward = length(x, (z - P["brim_z"]) * P["brim_ratio"]) - P["brim"]
    brim = length(outward.clamp(min=0) * 0.8, level - 0.03 - P["brim_curl"] * x * x) - 0.028
    d = torch.minimum(d, brim)
    return torch.minimum(d, length(x, y - P["ball_y"], z + 0.1) - P["ball"]) * 0.92


def ear_rings(y: Tensor, z: Tensor, ax: Tensor, P: Columns) -> Tensor:
    """Pearls or hoops under the ear lobes."""
    x, y, z = ax - P["ear_x"] - 0.03, y + 0.02 + P["ring_drop"], z + 0.02
    hoop = length(length(y, z) - P["ring"], x) - 0.018
    return torch.where(P["ring_hoop"] > 0.5, hoop, length(x, y, z) - P["ring"])
