"""Sphere tracing of tiles: the two kernels, plain or compiled, and the loops over them. Called by synthetic/render.

A row is one tile of 64 samples of one frame; its parameters are one row of a table. Batches have a fixed number of
rows, so that each kernel compiles once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.scene import distance
from train.synthetic.shade import shade, tone
from train.synthetic.shapes import Point

START, FAR = 4.4, 9.4
MARCH_STEPS, SCOUT_STEPS = 22, 24
CONVERGED = 3e-4
NEAR, SLOWEST = 0.08, 0.55
NORMAL_PROBES = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
OCCLUSION_PROBES = ((0.05, 1.0), (0.14, 0.6), (0.32, 0.35))
SHADOW_PROBES = (0.07, 0.16, 0.32, 0.55)

Names = tuple[str, ...]


class Walk(NamedTuple):
    """State of rays: depth, distance there, and where they came nearest to a surface, counted in sample widths."""

    depth: Tensor
    distance: Tensor
    stride: Tensor
    near_depth: Tensor
    near_ratio: Tensor


class Kernels(NamedTuple):
    """One step of all rays (also a probe: depth 1), and the colour of all points."""

    step: Callable[..., Walk]
    colour: Callable[..., Tensor]


def _step(names: Names, table: Tensor, origin: Tensor, ray: Tensor, walk: Walk, cone: Tensor, boost: Tensor) -> Walk:
    """Go on by the distance, further when leaving a surface; stay where the distance is below cone * depth."""
    P = {name: table[:, i : i + 1] for i, name in enumerate(names)}
    t = walk.depth
    d = distance(origin[0] + ray[0] * t, origin[1] + ray[1] * t, origin[2] + ray[2] * t, P)
    reach = cone * P["sample"] * t
    slope = (walk.distance - d) / walk.stride
    ahead = torch.where(d < NEAR, d / slope.clamp(SLOWEST, 1.0), d) * 0.94
    stride = torch.where(d > walk.distance, d * boost, ahead) - reach * 0.5
    ratio = d / (P["sample"] * t)
    nearer = ratio < walk.near_ratio
    near_depth = torch.where(nearer, t, walk.near_depth)
    stride = torch.where(d > reach, stride.clamp(min=0.004), d.clamp(max=0))
    return Walk((t + stride).clamp(max=12.0), d, stride.clamp(min=1e-4), near_depth, torch.minimum(ratio, walk.near_ratio))


def _colour(
    names: Names, table: Tensor, point: Tensor, ray: Tensor, normal: Tensor, occlusion: Tensor, shadow: Tensor,
    behind: Tensor, cover: Tensor,
) -> Tensor:  # fmt: skip
    """Display RGB [rows, 3, samples] over what is behind."""
    P = {name: table[:, i : i + 1] for i, name in enumerate(names)}
    value = shade(_point(point), _point(ray), _point(normal), occlusion, shadow, P)
    return tone(torch.lerp(behind, torch.stack(value, 1), cover[:, None]))


def _point(stacked: Tensor) -> Point:
    return stacked[0], stacked[1], stacked[2]


@lru_cache(maxsize=2)
def kernels(compiled: bool) -> Kernels:
    """The plain functions, or the same fused by torch.compile (static shapes)."""
    if not compiled:
        return Kernels(_step, _colour)
    return Kernels(torch.compile(_step, dynamic=False), torch.compile(_colour, dynamic=False))


class Tracer:
    """Draws batches of tiles. `names` are the table's columns; `sample` (a column) is a sample's width at depth 1."""

    def __init__(self, names: Names, device: torch.device, compiled: bool) -> None:
        self._names, self._device = names, device
        self._kernels = kernels(compiled)

    def _number(self, value: float) -> Tensor:
        return torch.tensor(value, device=self._device)

    def _march(
        self, table: Tensor, origin: Tensor, ray: Tensor, depth: Tensor, steps: int, cone: float, boost: float
    ) -> Walk:
        walk = Walk(depth, torch.full_like(depth, 1e6), torch.ones_like(depth), depth, torch.full_like(depth, 1e6))
        cone_tensor, boost_tensor = self._number(cone), self._number(boost)
        for _ in range(steps):
            walk = self._kernels.step(self._names, table, origin, ray, walk, cone_tensor, boost_tensor)
        return walk

    def _probe(self, table: Tensor, origin: Tensor, offset: Tensor) -> Tensor:
        one = torch.ones_like(origin[0])
        walk = Walk(one, one, one, one, one)
        zero = self._number(0.0)
        return self._kernels.step(self._names, table, origin, offset, walk, zero, zero).distance

    def scout(self, table: Tensor, origin: Tensor, ray: Tensor, cone: float) -> Tensor:
        """Depth before which cones of `cone` sample widths around the rays meet nothing; FAR or more: never."""
        start = torch.full_like(ray[0], START)
        return self._march(table, origin, ray, start, SCOUT_STEPS, cone, 0.94).depth

    def draw(self, table: Tensor, origin: Tensor, ray: Tensor, depth: Tensor, behind: Tensor) -> Tensor:
        """Display RGB [rows, 3, samples] of rays that start at a safe depth, over linear RGB `behind`."""
        walk = self._march(table, origin, ray, depth, MARCH_STEPS, CONVERGED / 0.004, 1.4)
        escaped = walk.depth > FAR
        cover = torch.where(escaped, 1 - walk.near_ratio.clamp(0, 1), 1.0)
        point = origin + ray * torch.where(escaped, walk.near_depth, walk.depth)
        normal = self._normal(table, point)
        occlusion, shadow = self._occlusion(table, point, normal), self._shadow(table, point, normal)
        return self._kernels.colour(self._names, table, point, ray, normal, occlusion, shadow, behind, cover)

    def _normal(self, table: Tensor, point: Tensor) -> Tensor:
        total = torch.zeros_like(point)
        for corner in NORMAL_PROBES:
            way = torch.tensor(corner, dtype=torch.float32, device=self._device)[:, None, None] * 0.006
            total += way * self._probe(table, point, way.expand_as(point))
        return torch.nn.functional.normalize(total, dim=0, eps=1e-12)

    def _occlusion(self, table: Tensor, point: Tensor, normal: Tensor) -> Tensor:
        dark = torch.zeros_like(point[0])
        for height, weight in OCCLUSION_PROBES:
            dark += weight / height * (height - self._probe(table, point, normal * height)).clamp(min=0)
        return (1 - 0.48 * dark).clamp(0.12, 1)

    def _shadow(self, table: Tensor, point: Tensor, normal: Tensor) -> Tensor:
        key = torch.stack([table[:, self._names.index(f"key_{axis}")] for axis in "xyz"])[:, :, None]
        start, shadow = point + normal * 0.02, torch.ones_like(point[0])
        for height in SHADOW_PROBES:
            d = self._probe(table, start, (key * height).expand_as(start))
            shadow = torch.minimum(shadow, (d * (2.6 / height) + 0.25).clamp(0, 1))
        return shadow
