"""The judge's network: a picture of a drawn character -> mouth, eyes, head and colours, each in its own unit.

Trained by judge/training.py, read from files by judge/files.py, called by train/evaluate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

POSE_OUTPUTS = ("mouth_opening", "jaw", "wide", "round", "blink", "yaw", "pitch", "roll", "shift_x", "shift_y")
"""Units of a pose (train/synthetic/pose.py); blink is the mean of both eyes."""
COLOUR_OUTPUTS = tuple(f"{part}_{axis}" for part in ("skin", "hair", "clothes") for axis in ("l", "a", "b"))
"""CIE Lab of the character's own colours, before light falls on them."""
OUTPUTS = POSE_OUTPUTS + COLOUR_OUTPUTS

GREY = 128
GROUPS = 8
READ_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """Sizes of the judge. The closer look is a square of `mouth_reach` of the picture's side."""

    picture_px: int = 256
    """Pictures are brought to this square first; the whole is seen at half of it."""
    mouth_px: int = 96
    mouth_reach: float = 0.45
    mouth_x: float = 0.0
    """Where the closer look starts, -1..1 from left to right; the network moves it."""
    mouth_y: float = 0.15
    widths: tuple[int, ...] = (24, 48, 72, 96, 128)
    hidden: int = 256

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if any(width % GROUPS for width in self.widths):
            yield f"widths {self.widths} must be multiples of {GROUPS}"
        if self.picture_px % 64 or self.mouth_px % 32:
            yield f"picture_px {self.picture_px} must be a multiple of 64 and mouth_px {self.mouth_px} of 32"


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(GROUPS, width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(GROUPS, width)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape out."""
        return x_BCHW + self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x_BCHW)))))


class Tower(nn.Module):
    """A picture with its coordinates -> a vector that still knows where things are."""

    def __init__(self, widths: tuple[int, ...], side_px: int, features: int) -> None:
        super().__init__()
        stages, before = [], 5
        for width in widths:
            stages += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.SiLU(), Block(width)]
            before = width
        self.stages = nn.Sequential(*stages)
        cells = -(-side_px // 2 ** len(widths))
        self.squeeze = nn.Conv2d(before, 32, 1)
        self.out = nn.Linear(32 * cells**2, features)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, 3, side, side] -> [B, features]."""
        batch, _, height, width = x_BCHW.shape
        rows = torch.linspace(-1, 1, height, device=x_BCHW.device).expand(batch, 1, width, height).transpose(2, 3)
        columns = torch.linspace(-1, 1, width, device=x_BCHW.device).expand(batch, 1, height, width)
        x = self.stages(torch.cat((x_BCHW, rows, columns), dim=1))
        return F.silu(self.out(self.squeeze(F.silu(x)).flatten(1)))


class Judge(nn.Module):
    """See the module's docstring. `forward` speaks normalised numbers, `read` speaks units."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.whole = Tower(config.widths, config.picture_px // 2, config.hidden)
        self.mouth = Tower(config.widths, config.mouth_px, config.hidden)
        self.aim = nn.Linear(config.hidden, 2)
        nn.init.zeros_(self.aim.weight)
        nn.init.zeros_(self.aim.bias)
        self.head = nn.Sequential(
            nn.Linear(2 * config.hidden, config.hidden), nn.SiLU(), nn.Linear(config.hidden, len(OUTPUTS))
        )
        self.register_buffer("mean", torch.zeros(len(OUTPUTS)))
        self.register_buffer("std", torch.ones(len(OUTPUTS)))

    def forward(self, squares_BCHW: Tensor) -> Tensor:
        """Squares in [-1, 1] (see `to_square`) -> normalised outputs [B, outputs]."""
        seen = self.whole(F.avg_pool2d(squares_BCHW, 2))
        return self.head(torch.cat((seen, self.mouth(self._closer(squares_BCHW, seen))), dim=1))

    @torch.inference_mode()
    def read(self, frames_FHWC: np.ndarray | Tensor) -> np.ndarray:
        """uint8 RGB frames of any size -> float32 [F, outputs] in units, columns in the order of OUTPUTS."""
        if isinstance(frames_FHWC, np.ndarray):
            frames_FHWC = torch.from_numpy(np.ascontiguousarray(frames_FHWC))
        rows = []
        for part in frames_FHWC.split(READ_BATCH):
            squares = to_square(part.to(self.mean.device).permute(0, 3, 1, 2), self.config.picture_px)
            rows.append((self(squares) * self.std + self.mean).cpu())
        return torch.cat(rows).numpy()

    def _closer(self, squares_BCHW: Tensor, seen_BD: Tensor) -> Tensor:
        config, device = self.config, squares_BCHW.device
        start = torch.tensor((config.mouth_x, config.mouth_y), device=device)
        centre_B2 = start + 0.3 * torch.tanh(self.aim(seen_BD))
        axis = torch.linspace(-1, 1, config.mouth_px, device=device) * config.mouth_reach
        offsets_HW2 = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
        grid = centre_B2[:, None, None] + offsets_HW2
        return F.grid_sample(squares_BCHW, grid, padding_mode="border", align_corners=False)


def to_square(pixels_BCHW: Tensor, side_px: int) -> Tensor:
    """uint8 pictures of one size -> float32 in [-1, 1], the longer side `side_px`, grey beside the shorter one."""
    height, width = pixels_BCHW.shape[2:]
    scale = side_px / max(height, width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    x = pixels_BCHW.float()
    if inner != (height, width):
        x = F.interpolate(x, size=inner, mode="bilinear", antialias=True, align_corners=False)
    top, left = (side_px - inner[0]) // 2, (side_px - inner[1]) // 2
    padding = (left, side_px - inner[1] - left, top, side_px - inner[0] - top)
    return F.pad(x, padding, value=GREY) / 127.5 - 1
