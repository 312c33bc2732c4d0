"""Contact sheets: the drawing above what the model showed, at the same moments. Called by evaluate/run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from train.synthetic.pose import POSE, VISEMES

CELL_PX = 160
LABEL_PX = 14
NEAR = 0.5
"""Distance of mouth shapes, columns of a pose."""
MOUTH = ("jaw", "wide", "round", "upper", "lower", "tuck", "press", "tongue")


def sheet(rows: Sequence[np.ndarray], labels: Sequence[str], captions: Sequence[str]) -> Image.Image:
    """Rows of pictures [K, H, W, 3], each row with a label at its left end, captions above the columns."""
    columns = max(len(row) for row in rows)
    height = round(CELL_PX * rows[0].shape[1] / rows[0].shape[2])
    page = Image.new("RGB", (columns * CELL_PX, LABEL_PX + len(rows) * height), "white")
    pen = ImageDraw.Draw(page)
    for column, words in enumerate(captions):
        pen.text((column * CELL_PX + 2, 1), words, fill="black")
    for line, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = LABEL_PX + line * height
        for column, picture_HWC in enumerate(row):
            cell = Image.fromarray(picture_HWC).resize((CELL_PX, height), Image.Resampling.LANCZOS)
            page.paste(cell, (column * CELL_PX, top))
        pen.rectangle((0, top, 6 * len(label) + 4, top + LABEL_PX - 2), fill="white")
        pen.text((2, top), label, fill="black")
    return page


def stacked(pages: Sequence[Image.Image]) -> Image.Image:
    """One page above the other."""
    whole = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), "white")
    top = 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    return whole


def compared(drawn_FHWC: np.ndarray, shown_FHWC: np.ndarray, moments: dict[str, int], name: str) -> Image.Image:
    """Two rows at the same frames: caption -> frame."""
    at = [frame for frame in moments.values() if frame < min(len(drawn_FHWC), len(shown_FHWC))]
    captions = list(moments)[: len(at)]
    return sheet((drawn_FHWC[at], shown_FHWC[at]), (f"{name}: drawn", "generated"), captions)


def viseme_moments(poses_FP: Tensor) -> dict[str, int]:
    """Viseme -> the frame whose mouth is nearest to it; those to which no mouth comes near are left out."""
    columns = [POSE.index(name) for name in MOUTH]
    mouth_FM = poses_FP[:, columns]
    found = {}
    for name, shape in VISEMES.items():
        wanted = torch.tensor([shape.get(column, 0.0) for column in MOUTH])
        away_F = (mouth_FM - wanted).square().sum(dim=1).sqrt()
        if away_F.min() < NEAR:
            found[name] = int(away_F.argmin())
    return found


def strip_moments(start: int, count: int = 16, every: int = 2, fps: int = 25) -> dict[str, int]:
    """Time -> frame: a short stretch of the film, frame by frame."""
    return {f"{(start + every * i) / fps:.2f} s": start + every * i for i in range(count)}
