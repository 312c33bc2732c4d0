"""Traits and poses as a table of numbers, one row a frame, from which the kernels draw. Called by synthetic/render."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from train.synthetic.pose import POSE, lip_gaps
from train.synthetic.scene import HIP_Y, NECK_Y
from train.synthetic.shapes import Columns
from train.synthetic.traits import NUMBERS, Character

CAMERA_Z = 7.0
MARGIN_KEPT = 0.7
"""How much of the room over the head stays, relative to the picture's height, when the picture is taller than wide."""


class Traits:
    """Characters as rows on a device; each is sent once and then found again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._row_of: dict[Character, int] = {}
        self._table = torch.empty(0, len(NUMBERS), device=device)

    def rows(self, characters: Sequence[Character]) -> dict[str, Tensor]:
        """One number a row, each B, by name."""
        new = [character for character in dict.fromkeys(characters) if character not in self._row_of]
        if new:
            sent = torch.tensor([[character.numbers[name] for name in NUMBERS] for character in new])
            self._row_of |= {character: len(self._table) + i for i, character in enumerate(new)}
            self._table = torch.cat((self._table, sent.to(self._device)))
        index = torch.tensor([self._row_of[character] for character in characters], device=self._device)
        return dict(zip(NUMBERS, self._table[index].unbind(1), strict=True))


def frame_columns(traits: dict[str, Tensor], poses_BP: Tensor, size_px: tuple[int, int]) -> dict[str, Tensor]:
    """All that the kernels read, by name, each B: the traits and what follows from the pose and the picture's size."""
    pose = dict(zip(POSE, poses_BP.unbind(1), strict=True))
    columns = dict(traits)
    columns.update(_mouth(traits, poses_BP, pose))
    columns.update(_eyes(traits, pose))
    columns.update(_posture(pose))
    columns.update(_framing(traits, size_px))
    return columns


def _mouth(C: Columns, poses_BP: Tensor, p: Columns) -> dict[str, Tensor]:
    above, below = lip_gaps(poses_BP)
    rounded, wide, press, tuck = p["round"], p["wide"], p["press"], p["tuck"]
    middle = (above + below) / 2
    high = torch.lerp(above + 0.25 * below, middle, rounded)
    low = torch.lerp(0.75 * below, middle, rounded)
    drop = 0.30 * p["jaw"]
    return {
        "drop": drop,
        "gap_above": high.clamp(min=0.005),
        "gap_below": low.clamp(min=0.005),
        "line_drop": high - above - 0.012 * press,
        "mouth_half": C["mouth_width"]
        * (1 + 0.06 * press + 0.28 * wide - 0.58 * rounded + 0.20 * p["smile"] - 0.05 * p["jaw"]),
        "corner_lift": (C["mouth_curve"] + 0.14 * p["smile"] + 0.03 * wide - 0.05 * p["frown"]) * (1 - 0.9 * rounded),
        "corner_fullness": 0.36 + 0.48 * rounded,
        "upper_lip": C["upper_lip"] * (1 - 0.52 * press - 0.12 * wide - 0.04 * rounded - 0.1 * tuck),
        "lower_lip": C["lower_lip"] * (1 - 0.55 * press - 0.10 * wide - 0.10 * rounded - 0.15 * tuck),
        "upper_inset": 0.004 * press - 0.012 * rounded,
        "lower_inset": 0.004 * press - 0.012 * rounded + 0.024 * tuck,
        "bulge": 0.20 + 0.035 * rounded - 0.010 * wide - 0.008 * press,
        "seal": torch.full_like(drop, 0.014),
        "teeth_y": 0.018 + 0.12 * rounded,
        "teeth_drop": drop * 0.86 + 0.085,
        "tongue_y": drop * 0.75 + 0.09 - 0.10 * p["tongue"],
        "tongue_reach": p["tongue"],
        "cheek_lift": 0.045 * (p["smile"] + 0.4 * wide.clamp(min=0)) - 0.02 * drop,
        "pressed": press,
    }


def _eyes(C: Columns, p: Columns) -> dict[str, Tensor]:
    smile = p["smile"] + 0.3 * p["wide"].clamp(min=0)
    upper = C["eye_open"] + 0.12 * p["brow"] + 0.25 * p["gaze_y"] - 0.06 * smile - 0.22 * p["squint"]
    lower = -0.62 + 0.12 * smile + 0.12 * p["gaze_y"] + 0.22 * p["squint"]
    columns: dict[str, Tensor] = {}
    for side in ("left", "right"):
        blink = p[f"blink_{side}"]
        top, bottom = torch.lerp(upper, upper * 0 - 0.30, blink), torch.lerp(lower, lower * 0 - 0.26, blink)
        columns |= {f"upper_cos_{side}": top.cos(), f"upper_sin_{side}": top.sin()}
        columns |= {f"lower_cos_{side}": bottom.cos(), f"lower_sin_{side}": bottom.sin()}
    gaze_x, gaze_y = p["gaze_x"] * 0.45, p["gaze_y"] * 0.35
    return columns | {
        "tilt_cos": C["eye_tilt"].cos(),
        "tilt_sin": C["eye_tilt"].sin(),
        "gaze_dx": gaze_x.sin() * gaze_y.cos(),
        "gaze_dy": gaze_y.sin(),
        "gaze_dz": gaze_x.cos() * gaze_y.cos(),
        "brow_y": C["brow_y"] + 0.09 * p["brow"] - 0.045 * p["frown"],
        "brow_slope": C["brow_slope"] - 0.10 * p["brow"].clamp(min=0) + 0.45 * p["frown"],
        "frowning": p["frown"],
    }


def _posture(p: Columns) -> dict[str, Tensor]:
    """Rotation Ry(yaw) Rx(pitch) Rz(roll) of the head; the neck's top moves with the leaning torso."""
    cy, sy, cp, sp = p["yaw"].cos(), p["yaw"].sin(), p["pitch"].cos(), p["pitch"].sin()
    roll = p["roll"] + 0.5 * p["lean"]
    cr, sr, lean_cos, lean_sin = roll.cos(), roll.sin(), p["lean"].cos(), p["lean"].sin()
    reach = NECK_Y - HIP_Y
    return {
        "r00": cy * cr + sy * sp * sr, "r01": sy * sp * cr - cy * sr, "r02": sy * cp,
        "r10": cp * sr, "r11": cp * cr, "r12": -sp,
        "r20": cy * sp * sr - sy * cr, "r21": sy * sr + cy * sp * cr, "r22": cy * cp,
        "pivot_x": p["shift_x"] - lean_sin * reach,
        "pivot_y": p["shift_y"] + HIP_Y + lean_cos * reach + 0.012 * p["breath"],
        "shift_x": p["shift_x"], "shift_y": p["shift_y"],
        "lean_cos": lean_cos, "lean_sin": lean_sin, "turn_cos": p["turn"].cos(), "turn_sin": p["turn"].sin(),
        "shoulder_lift": 0.035 * p["breath"] + 0.10 * p["shrug"],
        "shrug_tip": 0.16 * p["shrug"],
        "chest": 0.55 + 0.03 * p["breath"],
    }  # fmt: skip


def _framing(C: Columns, size_px: tuple[int, int]) -> dict[str, Tensor]:
    """A tall picture shows more torso, a wide one more background; the head keeps its place near the top.

    Where `sink` is 0 a tall picture is the middle of a square one, as a portrait that was cut.
    """
    height, width = size_px
    aspect = width / height
    half_height = C["zoom"] * max(1.0, aspect**-0.65)
    sink = (half_height - C["zoom"]) * MARGIN_KEPT * C["sink"]
    return {
        "half_height": half_height,
        "aspect": torch.full_like(half_height, aspect),
        "camera_y": C["camera_y"] - sink,
    }
