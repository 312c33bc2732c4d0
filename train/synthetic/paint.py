"""Colours of the surface before light: skin, lips, eyes, hair, clothes. Called by synthetic/shade.

Colours are linear RGB, three tensors each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.scene import Scene
from train.synthetic.shapes import Columns, length, mix, smooth_step

Rgb = tuple[Tensor, Tensor, Tensor]


class Paint(NamedTuple):
    """Albedo; how much of a point is on the lips and inside the mouth; how deep in the mouth."""

    albedo: Rgb
    on_lips: Tensor
    inside: Tensor


def colour(P: Columns, name: str) -> Rgb:
    """A colour of the table."""
    return P[f"{name}_r"], P[f"{name}_g"], P[f"{name}_b"]


def paint(s: Scene, weights: dict[str, Tensor], P: Columns) -> Paint:
    """Albedo of the mixture of materials at a point."""
    lips = s.lips
    on_lips = smooth_step(0.016, -0.004, lips.lips)
    inside = smooth_step(-0.006, -0.018, lips.opening) * (s.head[2] > 0)
    skin, eye, cloth = _skin(s, on_lips, inside, P), _eye(s, P), _cloth(s, P)
    teeth, strands, grain = _teeth(s), (1 - 9 * s.relief).clamp(0.55, 1.5), _grain(s, P)
    albedo = []
    for i, channel in enumerate("rgb"):
        value = weights["skin"] * skin[i] * (1 - grain * (0.22, 0.34, 0.42)[i]) + weights["eye"] * eye[i]
        value = value + weights["hair"] * P[f"hair_{channel}"] * strands + weights["brow"] * P[f"brow_{channel}"]
        value = value + weights["teeth"] * teeth * (0.84, 0.81, 0.75)[i] + weights["tongue"] * (0.55, 0.14, 0.15)[i]
        value = value + weights["metal"] * P[f"metal_{channel}"] + weights["wool"] * P[f"accent_{channel}"]
        albedo.append(value + weights["cloth"] * cloth[i])
    return Paint((albedo[0], albedo[1], albedo[2]), on_lips, inside)


def _grain(s: Scene, P: Columns) -> Tensor:
    """Rings of wood."""
    x, y, z = s.head
    wave = x + 0.10 * torch.sin(2.3 * y + 1.0) + 0.03 * torch.sin(7 * y + 4 * x)
    rings = length(wave - 0.25, z + 1.6) * 7
    return P["grain"] * (0.75 * smooth_step(0.55, 1.0, torch.sin(6.28 * rings)) + 0.25 * torch.sin(20 * rings + 40 * x))


def _skin(s: Scene, on_lips: Tensor, inside: Tensor, P: Columns) -> list[Tensor]:
    x, y, z = s.head
    ax, lips = s.ax, s.lips
    front = z > 0.3
    cheeks = torch.exp(-((ax - 0.44).square() + (y + 0.24).square()) * 14)
    tip = 0.55 * torch.exp(-(x * x + (y - P["nose_y"]).square()) * 60)
    blush = P["blush"] * ((cheeks + tip) * front + 0.5 * (ax > P["head_width"] - 0.02) * (z > -0.4))
    spots = torch.sin(61 * x + 9 * torch.sin(37 * y)) * torch.sin(57 * y + 7 * torch.sin(41 * x))
    where = torch.exp(-((ax - 0.3).square() * 12 + (y + 0.14).square() * 40))
    spots = P["freckles"] * smooth_step(0.72, 0.9, spots) * where
    lines = _wrinkles(s, P) * front
    muzzle = P["muzzle"] * front * smooth_step(1.05, 0.9, length(x / 0.40, (y - P["mouth_y"] - 0.06) / 0.33)) * 0.8
    snout = P["muzzle"] * front * smooth_step(1.1, 0.95, length(x / 0.125, (y - P["nose_y"] - 0.02) / 0.085))
    lid = smooth_step(P["eye_size"] * 1.16, P["eye_size"] * 1.10, s.eye.radius)
    lash = lid * smooth_step(0.034, 0.012, s.eye.above_upper.abs()) * (s.eye.z > 0) * (0.35 + 0.6 * P["lash"])
    seam = smooth_step(0.012, -0.004, lips.opening) * on_lips * (1 - inside)
    skin = []
    for i, channel in enumerate("rgb"):
        value = P[f"skin_{channel}"] * (1 + blush * (0.10, -0.22, -0.20)[i]) * (1 - spots * (0.15, 0.25, 0.3)[i])
        value = value * (1 - lines * (0.25, 0.36, 0.38)[i])
        value = mix(mix(value, value * 0.4 + 0.5, muzzle), 0.02, snout)
        value = mix(value, P[f"lip_{channel}"], on_lips * 0.9)
        value = value * (1 - 0.80 * seam) * (1 - 0.85 * lash)
        skin.append(mix(value, (0.11, 0.014, 0.018)[i], inside))
    return skin


def _wrinkles(s: Scene, P: Columns) -> Tensor:
    """Smile lines from the nose to the mouth's corners and lines on the forehead."""
    y, ax = s.head[1], s.ax
    down = (P["nose_y"] - y).clamp(0, 0.34)
    fold = (ax - 0.15 - 0.75 * down + 0.5 * down * down).abs()
    fold = smooth_step(0.028, 0.0, fold) * smooth_step(-0.02, 0.06, down) * smooth_step(0.34, 0.24, down)
    wave = (y - 0.56 - 0.02 * torch.cos(5 * ax)) / 0.085
    brow = smooth_step(0.30, 0.0, (wave - wave.round()).abs()) * (wave.abs() < 1.4) * smooth_step(0.42, 0.2, ax)
    return P["wrinkles"] * (fold + 0.45 * brow)


def _eye(s: Scene, P: Columns) -> list[Tensor]:
    """White, iris with a lit lower half and a dark rim, pupil; shaded under the upper lid."""
    eye = s.eye
    nx, ny, nz = eye.tilted_x / eye.radius, eye.tilted_y / eye.radius, eye.z / eye.radius
    side = torch.where(s.head[0] < 0, -nx, nx)
    cosine = side * P["gaze_dx"] + ny * P["gaze_dy"] + nz * P["gaze_dz"]
    radius = (2 - 2 * cosine).clamp(min=0).sqrt() / P["iris"]
    iris, pupil, ring = smooth_step(1.03, 0.95, radius), smooth_step(0.52, 0.45, radius), smooth_step(0.78, 1.0, radius)
    height, across = ny - P["gaze_dy"], side - P["gaze_dx"]
    fibres = 0.12 * torch.sin(40 * torch.atan2(height, across + 1e-5))
    lit = 0.85 + 1.25 * smooth_step(0.3, -0.8, height / P["iris"]) + fibres
    shadow = 1 - 0.4 * smooth_step(0.07, 0.0, -eye.above_upper) * (eye.above_upper < 0.02)
    tinted = [P[f"iris_{channel}"] * lit * (1 - 0.75 * ring) * (1 - pupil) + 0.004 for channel in "rgb"]
    return [mix(torch.full_like(iris, (0.86, 0.84, 0.81)[i]), tinted[i], iris) * shadow for i in range(3)]


def _teeth(s: Scene) -> Tensor:
    """Brightness of the teeth with faint gaps between them."""
    x = s.head[0] / 0.088
    return 1 - 0.30 * smooth_step(0.12, 0.02, (x - x.floor() - 0.5).abs())


def _cloth(s: Scene, P: Columns) -> list[Tensor]:
    """Pattern, then shirt and tie in a jacket's opening, buttons."""
    x, _, z = s.torso
    y, rate = s.body.y, P["pattern_rate"]
    rows, columns = torch.sin(rate * y), torch.sin(rate * x)
    thin = smooth_step(0.75, 0.9, torch.sin(2 * rate * x))
    pattern = P["stripes"] * smooth_step(-0.2, 0.2, rows) + P["pinstripes"] * thin
    pattern = pattern + P["dots"] * smooth_step(0.45, 0.65, rows * columns)
    pattern = pattern + P["check"] * 0.4 * ((rows > 0.2).float() + (columns > 0.2).float())
    front = z > -0.1
    throat = z > -0.5
    vee = (x.abs() - (y + 2.35) * 0.40) * throat + (~throat).float()
    shirt = P["jacket"] * smooth_step(0.012, -0.012, vee)
    knot = 0.05 + 0.05 * smooth_step(-1.30, -2.0, y) + 0.03 * smooth_step(-1.40, -1.30, y)
    tie = P["tie"] * smooth_step(0.012, -0.012, x.abs() - knot) * front * shirt
    lapel = 1 - 0.35 * P["jacket"] * smooth_step(0.03, 0.0, vee.abs())
    button = P["buttons"] * smooth_step(0.035, 0.02, length(x, y + 1.55 - ((y + 1.55) / 0.26).round() * 0.26)) * front
    placket = 1 - 0.25 * P["buttons"] * smooth_step(0.014, 0.0, (x.abs() - 0.075).abs()) * front
    cloth = []
    for main, second, accent in zip(colour(P, "cloth"), colour(P, "second"), colour(P, "accent"), strict=True):
        value = mix(mix(main, second, pattern) * lapel, second, shirt)
        cloth.append(mix(mix(value, accent, tie) * placket, second * 0.9, button))
    return cloth
