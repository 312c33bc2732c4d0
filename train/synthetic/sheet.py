"""`python -m train.synthetic.sheet`: a contact sheet of drawn characters, at rest, speaking or moving."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from torch import Tensor

from train.synthetic.pose import VISEMES, poses
from train.synthetic.render import Renderer
from train.synthetic.traits import draw_character

MOVES: dict[str, dict[str, float]] = {
    "rest": {}, "smile": {"smile": 1.0}, "laugh": {"smile": 0.9, "jaw": 0.5, "upper": 0.5, "squint": 0.4},
    "blink": {"blink_left": 1.0, "blink_right": 1.0}, "half": {"blink_left": 0.5, "blink_right": 0.5},
    "gaze": {"gaze_x": 1.0, "gaze_y": 0.5}, "down": {"gaze_y": -1.0, "pitch": 0.2}, "brow": {"brow": 1.0},
    "frown": {"frown": 1.0}, "yaw": {"yaw": 0.4}, "pitch": {"pitch": -0.25, "yaw": -0.3}, "roll": {"roll": 0.25},
    "shrug": {"shrug": 1.0, "brow": 0.6}, "lean": {"lean": 0.15}, "turn": {"turn": 0.4}, "shift": {"shift_x": 0.2},
}  # fmt: skip


def main(
    out: Annotated[Path, typer.Option(help="PNG to write")],
    rows: Annotated[int, typer.Option(min=1)] = 4,
    columns: Annotated[int, typer.Option(min=1, help="only for characters")] = 6,
    seed: Annotated[int, typer.Option(help="of the first character")] = 0,
    split: str = "train",
    size: Annotated[str, typer.Option(help="height x width of one picture, pixels")] = "192x192",
    samples_per_axis: Annotated[int, typer.Option(min=1, max=2)] = 2,
    visemes: Annotated[bool, typer.Option(help="a character a row, a mouth shape a column")] = False,
    moves: Annotated[bool, typer.Option(help="a character a row, a movement a column")] = False,
    device: str = "cpu",
) -> None:
    """Draw a contact sheet."""
    height, width = (int(side) for side in size.split("x"))
    shown = VISEMES if visemes else MOVES if moves else {}
    columns = len(shown) or columns
    if shown:
        characters = [draw_character(seed + row, split) for row in range(rows) for _ in shown]
        poses_BP = torch.cat([poses(1, **pose) for _ in range(rows) for pose in shown.values()])
    else:
        characters = [draw_character(seed + i, split) for i in range(rows * columns)]
        poses_BP = poses(rows * columns)
    renderer = Renderer(torch.device(device), samples_per_axis=samples_per_axis)
    pixels_BCHW = renderer.frames(characters, poses_BP, (height, width)).cpu()
    Image.fromarray(tiled(pixels_BCHW, columns).numpy()).save(out)


def tiled(pixels_BCHW: Tensor, columns: int) -> Tensor:
    """Pictures side by side, row by row: [rows * H, columns * W, 3]."""
    b, c, h, w = pixels_BCHW.shape
    rows = b // columns
    grid = pixels_BCHW.view(rows, columns, c, h, w).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * h, columns * w, c).contiguous()


if __name__ == "__main__":
    typer.run(main)
