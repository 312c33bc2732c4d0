"""Signed distances of simple solids and their soft unions, plain elementwise torch. Called by the scene's parts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Columns = Mapping[str, Tensor]
"""One number a row of tiles, by name, each [rows, 1]; points are [rows, samples]."""

Point = tuple[Tensor, Tensor, Tensor]


def length(*parts: Tensor) -> Tensor:
    """Euclidean length of a vector given by its components."""
    total = parts[0] * parts[0] + 1e-9
    for part in parts[1:]:
        total = total + part * part
    return total.sqrt()


def unit(x: Tensor, y: Tensor, z: Tensor) -> Point:
    """The vector with length 1."""
    scale = (x * x + y * y + z * z + 1e-12).rsqrt()
    return x * scale, y * scale, z * scale


def ellipsoid(x: Tensor, y: Tensor, z: Tensor, rx: Tensor | float, ry: Tensor | float, rz: Tensor | float) -> Tensor:
    """Distance to an ellipsoid at the origin, first order (exact for a ball)."""
    a, b, c = x / rx, y / ry, z / rz
    radius = (a * a + b * b + c * c).sqrt()
    a, b, c = a / rx, b / ry, c / rz
    return radius * (radius - 1) / ((a * a + b * b + c * c).sqrt() + 1e-4)


def capsule(point: Point, start: tuple[Tensor | float, ...], end: tuple[Tensor | float, ...]) -> Tensor:
    """Distance to the segment between two points; subtract a radius."""
    dx, dy, dz = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    px, py, pz = point[0] - start[0], point[1] - start[1], point[2] - start[2]
    along = ((px * dx + py * dy + pz * dz) / (dx * dx + dy * dy + dz * dz)).clamp(0, 1)
    return length(px - dx * along, py - dy * along, pz - dz * along)


def smooth_min(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Union with a fillet of width k."""
    h = (k - (a - b).abs()).clamp(min=0)
    return torch.minimum(a, b) - h * h * (0.25 / k)


def smooth_max(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Intersection with a rounded edge of width k."""
    h = (k - (a - b).abs()).clamp(min=0)
    return torch.maximum(a, b) + h * h * (0.25 / k)


def smooth_step(start: Tensor | float, end: Tensor | float, x: Tensor) -> Tensor:
    """0 before `start`, 1 after `end`, smooth between; `start` may be larger than `end`."""
    t = ((x - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Tensor, b: Tensor | float, weight: Tensor | float) -> Tensor:
    """a at weight 0, b at weight 1."""
    return a + (b - a) * weight
