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
    """State of rays, stacked to one tensor for the kernel (so that it compiles once).

    Depth, distance there, last stride, and where they came nearest to a surface, counted in sample widths.
    """

    depth: Tensor
    distance: Tensor
    stride: Tensor
    near_depth: Tensor
    near_ratio: Tensor


class Kernels(NamedTuple):
    """One step of all rays (also a probe: depth 1), and the colour of all points."""

    step: Callable[..., Tensor]
    colour: Callable[..., Tensor]


def _step(
    names: Names, table: Tensor, origin: Tensor, ray: Tensor, walk: Tensor, cone: Tensor, boost: Tensor
) -> Tensor:
    """Go on by the distance, further when leaving a surface; stay where the distance is below cone * depth."""
    P = {name: table[:, i : i + 1] for i, name in enumerate(names)}
    t, last, stride, near_depth, near_ratio = walk.unbind(0)
    d = distance(origin[0] + ray[0] * t, origin[1] + ray[1] * t, origin[2] + ray[2] * t, P)
    reach = cone * P["sample"] * t
    slope = (last - d) / stride
    ahead = torch.where(d < NEAR, d / slope.clamp(SLOWEST, 1.0), d) * 0.94
    stride = torch.where(d > last, d * boost, ahead) - reach * 0.5
    ratio = d / (P["sample"] * t)
    near_depth = torch.where(ratio < near_ratio, t, near_depth)
    stride = torch.where(d > reach, stride.clamp(min=0.004), d.clamp(max=0))
    t = (t + stride).clamp(max=12.0)
    return torch.stack((t, d, stride.clamp(min=1e-4), near_depth, torch.minimum(ratio, near_ratio)))


def _colour(
    names: Names, table: Tensor, point: Tensor, ray: Tensor, normal: Tensor, light: Tensor, behind: Tensor
) -> Tensor:
    """Display RGB [rows, 3, samples] over what is behind; light: occlusion, shadow and cover, stacked."""
    P = {name: table[:, i : i + 1] for i, name in enumerate(names)}
    value = shade(_point(point), _point(ray), _point(normal), light[0], light[1], P)
    return tone(torch.lerp(behind, torch.stack(value, 1), light[2, :, None]))


def _point(stacked: Tensor) -> Point:
    return stacked[0], stacked[1], stacked[2]


@lru_cache(maxsize=2)
def kernels(compiled: bool) -> Kernels:
    """The plain functions, or the same fused by torch.compile (static shapes)."""
    if not compiled:
        return Kernels(_step, _colour)
    return Kernels(
        torch.compile(_step, dynamic=False, fullgraph=True), torch.compile(_colour, dynamic=False, fullgraph=True)
    )


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
        far, one = torch.full_like(depth, 1e6), torch.ones_like(depth)
        walk = torch.stack(Walk(depth, far, one, depth, far))
        cone_tensor, boost_tensor = self._number(cone), self._number(boost)
        for _ in range(steps):
            walk = self._kernels.step(self._names, table, origin, ray, walk, cone_tensor, boost_tensor)
        return Walk(*walk.unbind(0))

    def _probe(self, table: Tensor, origin: Tensor, offset: Tensor) -> Tensor:
        """Distances at origin + offset."""
        walk = torch.ones(len(Walk._fields), *origin.shape[1:], device=self._device)
        cone, boost = self._number(0.0), self._number(1.0)
        offset = offset.expand_as(origin).contiguous()
        return Walk(*self._kernels.step(self._names, table, origin, offset, walk, cone, boost).unbind(0)).distance

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
        light = torch.stack((self._occlusion(table, point, normal), self._shadow(table, point, normal), cover))
        return self._kernels.colour(self._names, table, point, ray, normal, light, behind)

    def _normal(self, table: Tensor, point: Tensor) -> Tensor:
        total = torch.zeros_like(point)
        for corner in NORMAL_PROBES:
            way = torch.tensor(corner, dtype=torch.float32, device=self._device)[:, None, None] * 0.006
            total += way * self._probe(table, point, way)
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
            d = self._probe(table, start, key * height)
            shadow = torch.minimum(shadow, (d * (2.6 / height) + 0.25).clamp(0, 1))
        return shadow
