"""What the judge learns from: drawn pictures with their known poses and colours. Called by judge/training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.pipeline.colour import rgb_to_lab
from train.judge.network import OUTPUTS, POSE_OUTPUTS, to_square
from train.synthetic.pose import POSE, VISEMES, mouth_opening, poses
from train.synthetic.render import Renderer
from train.synthetic.traits import Character, draw_character

SIZES_PX = ((256, 256), (256, 256), (256, 256), (320, 192), (192, 320))
"""(height, width): squares mostly, because that is what is served."""
POPULATION = 65536
"""Characters of a split; a renderer keeps all that it was shown (10 kB each)."""
MOUTH = ("jaw", "wide", "round", "upper", "lower", "tuck", "press", "tongue", "smile")
SPREAD = {
    "yaw": 0.28, "pitch": 0.16, "roll": 0.12, "shift_x": 0.1, "shift_y": 0.07, "lean": 0.05, "turn": 0.1,
    "gaze_x": 0.4, "gaze_y": 0.3, "brow": 0.4,
}  # fmt: skip
"""Standard deviations; motion (train/synthetic/motion.py) stays inside of twice these."""
PARTS = ("skin", "hair", "cloth")
"""Colours of a character's `numbers`, in the order of COLOUR_OUTPUTS; linear light."""
DISPLAY_POWER = 2.2
SHARES = ("frown", "squint", "breath", "shrug")


@dataclass
class Examples:
    """Draws batches from one split; the same seed draws the same batches."""

    renderer: Renderer
    split: str
    seed: int
    side_px: int
    _generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """uint8 squares_BCHW on the renderer's device and targets [B, outputs] (NaN: it has no such thing)."""
        characters = [draw_character(self._integer(POPULATION), self.split) for _ in range(count)]
        poses_BP = random_poses(count, self._generator)
        size_px = SIZES_PX[self._integer(len(SIZES_PX))]
        scale = self.side_px / 256
        size_px = (round(size_px[0] * scale / 16) * 16, round(size_px[1] * scale / 16) * 16)
        pixels = self.renderer.frames(characters, poses_BP, size_px)
        squares = (to_square(pixels, self.side_px) + 1) * 127.5
        return squares.round().clamp(0, 255).to(torch.uint8), targets(characters, poses_BP).to(pixels.device)

    def _integer(self, end: int) -> int:
        return int(torch.randint(end, (1,), generator=self._generator))


def random_poses(count: int, generator: torch.Generator) -> Tensor:
    """poses_FP of which no two belong together: mixed visemes, shut mouths, any mouths; heads that turn."""
    columns = {name: spread * _normal(count, generator) for name, spread in SPREAD.items()}
    columns |= {name: _uniform(count, generator) ** 3 for name in SHARES}
    result = poses(count, **columns)
    mouth = torch.stack((_spoken(count, generator), _shut(count, generator), _any(count, generator)))
    kind = torch.randint(3, (count,), generator=generator)
    chosen = mouth[kind, torch.arange(count)]
    for column, name in enumerate(MOUTH):
        result[:, POSE.index(name)] = chosen[:, column]
    for name, values in zip(("blink_left", "blink_right"), _blinks(count, generator), strict=True):
        result[:, POSE.index(name)] = values
    for name in ("gaze_x", "gaze_y", "brow"):
        result[:, POSE.index(name)] = result[:, POSE.index(name)].clamp(-1, 1)
    return result


def targets(characters: list[Character], poses_BP: Tensor) -> Tensor:
    """What the judge should say [B, outputs], in units."""
    columns = {name: poses_BP[:, POSE.index(name)] for name in POSE_OUTPUTS if name in POSE}
    columns["mouth_opening"] = mouth_opening(poses_BP)
    columns["blink"] = (poses_BP[:, POSE.index("blink_left")] + poses_BP[:, POSE.index("blink_right")]) / 2
    posed = torch.stack([columns[name] for name in POSE_OUTPUTS], dim=1)
    result = torch.cat((posed, colours(characters)), dim=1)
    assert result.shape[1] == len(OUTPUTS)
    return result


def colours(characters: list[Character]) -> Tensor:
    """CIE Lab [B, 9] of skin, hair and clothes; hair that is not there, or covered, is NaN."""
    names = [f"{part}_{channel}" for part in PARTS for channel in "rgb"]
    linear = torch.tensor([[character.numbers[name] for name in names] for character in characters])
    shown = linear.clamp(0, 1) ** (1 / DISPLAY_POWER)
    lab = rgb_to_lab(shown.unflatten(1, (len(PARTS), 3)).permute(2, 0, 1)).permute(1, 2, 0)
    unseen = torch.tensor([not character.hair_colour for character in characters])
    lab[unseen, PARTS.index("hair")] = math.nan
    return lab.flatten(1)


def worsen(squares_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures as a model may draw them: uint8 -> float32 in [-1, 1], half of them blurred, all with a little noise."""
    device = squares_BCHW.device
    x = squares_BCHW.float() / 127.5 - 1
    count, side = len(x), x.shape[-1]
    small = max(8, int(side * float(0.3 + 0.6 * torch.rand((), generator=generator, device=device))))
    blurred = F.interpolate(x, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    blurred = F.interpolate(blurred, size=(side, side), mode="bilinear", align_corners=False)
    chosen = torch.rand(count, 1, 1, 1, generator=generator, device=device)
    x = torch.where(chosen < 0.5, blurred, x)
    level = 0.06 * torch.rand(count, 1, 1, 1, generator=generator, device=device) ** 2
    return (x + level * torch.randn(x.shape, generator=generator, device=device)).clamp(-1, 1)


def _spoken(count: int, generator: torch.Generator) -> Tensor:
    """Two visemes mixed, weak or strong, with a little of everything else."""
    known = torch.tensor([[columns.get(name, 0.0) for name in MOUTH] for columns in VISEMES.values()])
    pair = torch.randint(len(known), (2, count), generator=generator)
    share = _uniform(count, generator)[:, None]
    mixed = share * known[pair[0]] + (1 - share) * known[pair[1]]
    mixed = mixed * (0.5 + 0.7 * _uniform(count, generator)[:, None])
    return _in_range(mixed + 0.05 * torch.randn(count, len(MOUTH), generator=generator))


def _shut(count: int, generator: torch.Generator) -> Tensor:
    """A closed mouth, which may smile or press its lips."""
    mouth = torch.zeros(count, len(MOUTH))
    mouth[:, MOUTH.index("smile")] = _uniform(count, generator) ** 2
    mouth[:, MOUTH.index("press")] = _uniform(count, generator) ** 3
    mouth[:, MOUTH.index("wide")] = 0.15 * _normal(count, generator)
    return _in_range(mouth)


def _any(count: int, generator: torch.Generator) -> Tensor:
    mouth = torch.rand(count, len(MOUTH), generator=generator) ** 1.5
    for name in ("tuck", "press"):
        mouth[:, MOUTH.index(name)] *= (_uniform(count, generator) < 0.2).float()
    return _in_range(mouth)


def _in_range(mouth: Tensor) -> Tensor:
    low = torch.tensor([-1.0 if name == "wide" else 0.0 for name in MOUTH])
    return mouth.clamp(min=low).clamp(max=1)


def _blinks(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both eyes: half of them open, the others anywhere between, sometimes one more than the other."""
    left = _uniform(count, generator) * (_uniform(count, generator) < 0.5)
    wink = (_uniform(count, generator) < 0.1) * 0.3 * _normal(count, generator)
    return left, (left + wink).clamp(0, 1)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator)


def _normal(count: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, generator=generator).clamp(-2.5, 2.5)
