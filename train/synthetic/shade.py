"""Light on the surface, in every art style, and the tone curve. Called by synthetic/march and synthetic/background."""

from __future__ import annotations

import torch
from torch import Tensor

from train.synthetic.paint import Paint, paint
from train.synthetic.scene import Scene, nearest, scene
from train.synthetic.shapes import Columns, Point, mix, smooth_step, unit

FILL = (0.80, 0.10, 0.59)


def shade(point: Point, ray: Point, normal: Point, occlusion: Tensor, shadow: Tensor, P: Columns) -> list[Tensor]:
    """Linear RGB of a surface point. occlusion, shadow: 1 is open, 0 is dark."""
    s = scene(*point, P)
    d = nearest(s.materials)
    weights = {name: torch.exp(-(m - d).clamp(0, 0.1) * 260) for name, m in s.materials.items()}
    total = torch.stack(tuple(weights.values())).sum(0)
    weights = {name: weight / total for name, weight in weights.items()}
    coat = paint(s, weights, P)
    inner = weights["teeth"] + 0.4 * weights["tongue"]
    occlusion = occlusion + (0.8 - occlusion).clamp(min=0) * inner
    shadow = shadow + (0.6 - shadow).clamp(min=0) * inner
    view = -(normal[0] * ray[0] + normal[1] * ray[1] + normal[2] * ray[2])
    soft = _lit(s, coat, weights, (ray, normal, view), occlusion, shadow, P)
    flat = _toon(s, coat, weights, (normal, view), shadow, P)
    return [mix(a, b, P["toon"]) for a, b in zip(soft, flat, strict=True)]


def _depth_in_mouth(s: Scene, weights: dict[str, Tensor]) -> Tensor:
    return smooth_step(0.60, 0.42, s.head[2]) * (weights["teeth"] + weights["tongue"])


def _lit(
    s: Scene,
    coat: Paint,
    weights: dict[str, Tensor],
    geometry: tuple[Point, Point, Tensor],
    occlusion: Tensor,
    shadow: Tensor,
    P: Columns,
) -> list[Tensor]:
    """Wrapped key light that bleeds red through skin, fill, sky and ground, highlights, rim."""
    _, normal, view = geometry
    nx, ny, nz = normal
    key = nx * P["key_x"] + ny * P["key_y"] + nz * P["key_z"]
    fill = ((nx * FILL[0] * -P["key_x"].sign() + ny * FILL[1] + nz * FILL[2]) * 0.5 + 0.5).square() * P["fill"]
    flesh = weights["skin"] + weights["tongue"]
    behind = smooth_step(-0.2, 0.7, ny * 0.5 - nz * 0.6 + nx.abs() * 0.5)
    rim = (1 - view.clamp(0, 1)) ** 3 * behind * occlusion * P["rim"]
    shine, glint = _highlights(coat, weights, geometry, P)
    dark = (1 - 0.65 * _depth_in_mouth(s, weights)) * (1 - 0.35 * weights["eye"] * (1 - occlusion))
    out = []
    for i, channel in enumerate("rgb"):
        wrap = (0.42, 0.20, 0.14)[i] * flesh + 0.12
        direct = ((key + wrap) / (1 + wrap)).clamp(min=0) * (shadow + (1 - shadow) * (0.22, 0.06, 0.04)[i] * flesh)
        open_sky = occlusion + (1 - occlusion) * (0.25, 0.06, 0.03)[i] * flesh
        sky = (0.40, 0.42, 0.47)[i] * (0.65 + 0.35 * ny) + (0.20, 0.14, 0.10)[i] * (0.5 - 0.5 * ny)
        ambient = (sky + 0.22 * P[f"light_{channel}"] + (0.24, 0.28, 0.34)[i] * fill) * open_sky
        value = coat.albedo[i] * (P[f"key_{channel}"] * direct + ambient) * dark
        value = value + shine * shadow * (1.0, 0.95, 0.86)[i] + rim * 0.34 * (0.35 + coat.albedo[i])
        out.append(value + weights["eye"] * glint * 0.9)
    return out


def _highlights(
    coat: Paint, weights: dict[str, Tensor], geometry: tuple[Point, Point, Tensor], P: Columns
) -> tuple[Tensor, Tensor]:
    """Gloss of every material and the two lights mirrored in the eyes."""
    ray, normal, view = geometry
    half = unit(P["key_x"] - ray[0], P["key_y"] - ray[1], P["key_z"] - ray[2])
    facing = (normal[0] * half[0] + normal[1] * half[1] + normal[2] * half[2]).clamp(min=0)
    wide, narrow = facing**12, facing**60
    gloss = P["gloss"]
    shine = weights["skin"] * (0.05 * wide + gloss * 0.30 * narrow + 0.30 * coat.on_lips * (1 - coat.inside) * narrow)
    shine = shine + weights["hair"] * (0.10 * wide + 0.35 * gloss * narrow) + weights["metal"] * 0.5 * narrow
    shine = shine + (weights["teeth"] + weights["tongue"]) * 0.25 * narrow + weights["cloth"] * 0.2 * gloss * narrow
    mirror = tuple(ray[i] + 2 * view * normal[i] for i in range(3))
    glint = smooth_step(0.935, 0.955, mirror[0] * P["key_x"] + mirror[1] * P["key_y"] + mirror[2] * P["key_z"])
    second = mirror[0] * -0.55 * P["key_x"].sign() + mirror[1] * -0.35 + mirror[2] * 0.757
    return shine, glint + 0.4 * smooth_step(0.965, 0.985, second)


def _toon(
    s: Scene, coat: Paint, weights: dict[str, Tensor], geometry: tuple[Point, Tensor], shadow: Tensor, P: Columns
) -> list[Tensor]:
    """Two flat tones with a crisp border; some characters have an ink line."""
    normal, view = geometry
    round_off = 1.1 * (weights["skin"] + weights["hair"])
    x, y, z = s.head
    nx, ny, nz = unit(normal[0] + x * round_off, normal[1] + (y - 0.1) * round_off, normal[2] + (z + 0.2) * round_off)
    key = nx * P["key_x"] + ny * P["key_y"] + nz * P["key_z"]
    bright = smooth_step(-0.03, 0.03, torch.minimum(key - 0.20, shadow - 0.3))
    ink = 1 - 0.85 * P["outline"] * smooth_step(0.26, 0.14, view) * (1 - weights["eye"]) * (1 - weights["teeth"])
    glint = smooth_step(0.9, 0.93, normal[0] * P["key_x"] + normal[1] * P["key_y"] + normal[2] * P["key_z"])
    glint = glint * weights["eye"] * 0.6
    gleam = smooth_step(0.02, 0.0, (key - 0.93).abs()) * weights["hair"] * 0.25
    dark = 1 - 0.65 * _depth_in_mouth(s, weights)
    shade_tint = (0.74, 0.66, 0.70)
    return [
        coat.albedo[i] * mix(torch.full_like(bright, shade_tint[i]), 1.10, bright) * (1.12 + gleam) * dark * ink + glint
        for i in range(3)
    ]


def tone(value: Tensor) -> Tensor:
    """Linear light -> display 0..1 through a soft shoulder."""
    value = value.clamp(min=0) * 0.88
    value = value * (2.2 * value + 0.12) / (value * (2.0 * value + 0.75) + 0.12)
    return value.clamp(0, 1) ** (1 / 2.2)
