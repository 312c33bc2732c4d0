"""Colour match: every frame gets the mean and spread of the portrait's Lab channels, so that colours cannot drift.

Called by pipeline/session after decoding and by pipeline/conditioning for the portrait.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flashtalk.ops.constants import constant
from flashtalk.types import ColourReference

# sRGB (IEC 61966-2-1) to XYZ, and the D65 white point (2 degrees).
RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
XYZ_TO_RGB = (
    (3.240481343200526, -1.537151516271318, -0.498536326168888),
    (-0.969254949996568, 1.875990001489891, 0.041555926558293),
    (0.055646639135177, -0.204041338366511, 1.057311069645344),
)
WHITE = (0.95047, 1.0, 1.08883)
LAB_CUT = (6 / 29) ** 3
LAB_SLOPE = (29 / 6) ** 2 / 3
MIN_STD = 1e-5
CACHED_FRAMES = 4
"""Frames at a time on a CPU: these steps stay in its caches, and take half as long."""


def measure(pixels_CFHW: Tensor) -> ColourReference:
    """Mean and standard deviation of Lab over the pictures, from pixels in [-1, 1]."""
    lab = rgb_to_lab((pixels_CFHW.float() + 1) / 2)
    std, mean = torch.std_mean(lab, dim=(-3, -2, -1), keepdim=True)
    return ColourReference(mean, std)


def match_colour(pixels_CFHW: Tensor, reference: ColourReference, strength: float) -> Tensor:
    """Pixels in [-1, 1] with each frame's Lab statistics moved to the reference's; strength 0 (none) to 1 (full)."""
    if strength == 0:
        return pixels_CFHW
    frames = CACHED_FRAMES if pixels_CFHW.device.type == "cpu" else pixels_CFHW.shape[1]
    return torch.cat([_matched(some, reference, strength) for some in pixels_CFHW.split(frames, dim=1)], dim=1)


def _matched(pixels_CFHW: Tensor, reference: ColourReference, strength: float) -> Tensor:
    lab = rgb_to_lab((pixels_CFHW.float() + 1) / 2)
    centred = lab - lab.mean(dim=(-2, -1), keepdim=True)
    # Not std_mean: its running update takes four times as long as the squares.
    std = (centred.square().sum(dim=(-2, -1), keepdim=True) / (lab.shape[-2:].numel() - 1)).sqrt()
    moved = centred * (reference.std / std.clamp(min=MIN_STD)) + reference.mean
    matched = lab_to_rgb(moved) * 2 - 1
    return torch.lerp(pixels_CFHW.float(), matched, strength).clamp(-1, 1)


def rgb_to_lab(rgb_CFHW: Tensor) -> Tensor:
    """sRGB in 0..1, channels first -> CIE Lab."""
    rgb = rgb_CFHW.clamp(0, 1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    t = constant(RGB_TO_XYZ, rgb.device) @ linear.flatten(1) / constant(WHITE, rgb.device)[:, None]
    f = torch.where(t > LAB_CUT, t.clamp(min=LAB_CUT) ** (1 / 3), LAB_SLOPE * t + 4 / 29)
    lab = torch.stack((116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])))
    return lab.view_as(rgb_CFHW)


def lab_to_rgb(lab_CFHW: Tensor) -> Tensor:
    """CIE Lab -> sRGB clamped to 0..1."""
    lightness, a, b = lab_CFHW.flatten(1)
    fy = (lightness + 16) / 116
    f = torch.stack((fy + a / 500, fy, (fy - b / 200).clamp(min=0)))
    xyz = torch.where(f > 6 / 29, f**3, (f - 4 / 29) / LAB_SLOPE) * constant(WHITE, f.device)[:, None]
    linear = (constant(XYZ_TO_RGB, f.device) @ xyz).clamp(min=0)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.clamp(0, 1).view_as(lab_CFHW)
