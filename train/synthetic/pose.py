"""What a character does in one frame: the columns of a pose, the mouth shapes of speech, how far the lips are apart.

Called by synthetic/motion (which moves the columns), by the renderer, and by evaluation (which compares the mouth).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashtalk.errors import InputError

POSE: tuple[str, ...] = (
    "jaw", "wide", "round", "upper", "lower", "tuck", "press", "tongue", "smile", "blink_left", "blink_right",
    "gaze_x", "gaze_y", "brow", "frown", "squint", "yaw", "pitch", "roll", "shift_x", "shift_y",
    "breath", "shrug", "lean", "turn",
)  # fmt: skip
"""Columns of poses_FP. All zero is a calm face with the mouth closed that looks into the camera.

jaw (opens), round (puckers), upper (lip raised), lower (lip dropped), tuck (lower lip under the upper teeth), press
(lips rolled in), tongue (up and forward), smile, blink_left, blink_right, frown, squint, breath, shrug: 0..1.
wide (negative is narrow), gaze_x, gaze_y, brow: -1..1. shift_x, shift_y: all moves, head units (a head is 2 high).
Radians: yaw (to the right of the picture), pitch (down), roll (top to the picture's left), lean (torso to the picture's
left), turn (torso to the right). The character's "left" and +x are the right side of the picture.
"""

VISEMES: dict[str, dict[str, float]] = {
    "rest": {},
    "MBP": {"press": 1.0},
    "FV": {"jaw": 0.08, "upper": 0.65, "tuck": 1.0, "wide": 0.12},
    "TH": {"jaw": 0.22, "upper": 0.35, "lower": 0.35, "tongue": 1.0},
    "TDN": {"jaw": 0.16, "upper": 0.4, "lower": 0.4, "tongue": 0.5},
    "L": {"jaw": 0.34, "upper": 0.35, "lower": 0.25, "tongue": 0.85},
    "SZ": {"jaw": 0.04, "upper": 0.6, "lower": 0.7, "wide": 0.35},
    "SHCH": {"jaw": 0.08, "upper": 0.7, "lower": 0.7, "round": 0.6},
    "EE": {"jaw": 0.12, "upper": 0.45, "lower": 0.45, "wide": 0.85, "smile": 0.25},
    "IH": {"jaw": 0.25, "upper": 0.35, "lower": 0.3, "wide": 0.4},
    "AA": {"jaw": 0.9, "upper": 0.3, "lower": 0.25, "wide": 0.05},
    "EH": {"jaw": 0.5, "upper": 0.35, "lower": 0.3, "wide": 0.35},
    "OH": {"jaw": 0.55, "round": 0.75},
    "OO": {"jaw": 0.12, "round": 1.0},
    "R": {"jaw": 0.18, "round": 0.55, "upper": 0.3, "lower": 0.4},
    "KG": {"jaw": 0.28, "upper": 0.25, "lower": 0.2, "wide": 0.1},
}
"""Mouth shapes of speech; blend linearly, all columns are continuous."""

FULL_GAP = 0.35
"""Head units between the inner lips that `mouth_opening` calls 1."""


def poses(count: int, **columns: float | Sequence[float] | Tensor) -> Tensor:
    """poses_FP float32 of `count` frames; a column is one number or `count` of them, columns not named are 0."""
    poses_FP = torch.zeros(count, len(POSE))
    for name, values in columns.items():
        if name not in POSE:
            raise InputError(f"a pose has no column {name!r}; it has {', '.join(POSE)}", code="pose")
        column = torch.as_tensor(values, dtype=torch.float32)
        if column.shape not in ((), (count,)):
            raise InputError(
                f"column {name!r} has the shape {tuple(column.shape)}; give one number or {count} of them", code="pose"
            )
        poses_FP[:, POSE.index(name)] = column
    return poses_FP


def lip_gaps(poses_FP: Tensor) -> tuple[Tensor, Tensor]:
    """How far the upper and the lower inner lip are from the mouth line at its middle, head units: two F tensors."""
    jaw, rounded, upper, lower, tuck, press = (
        poses_FP[:, POSE.index(name)] for name in ("jaw", "round", "upper", "lower", "tuck", "press")
    )
    parted = 1 - press
    above = (0.055 * upper + 0.045 * jaw + 0.028 * rounded + 0.028 * tuck) * parted
    below = (0.055 * lower + 0.25 * jaw + 0.028 * rounded) * parted * (1 - 0.9 * tuck)
    return above.clamp(min=0), below.clamp(min=0)


def mouth_opening(poses_FP: Tensor) -> Tensor:
    """F: the vertical aperture between the inner lips, 0 (shut) to 1; exactly what the renderer draws."""
    above, below = lip_gaps(poses_FP)
    return ((above + below) / FULL_GAP).clamp(0, 1)
