"""Contact sheets: rows of pictures at the same moments, the drawing above what models showed. Called by evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Strip:
    """One row of a sheet: its label, a caption for each picture, the pictures side by side."""

    label: str
    captions: tuple[str, ...]
    image: Image.Image


def strip(label: str, moments: Mapping[str, int], pictures: Mapping[int, np.ndarray]) -> Strip:
    """The pictures [H, W, 3] of these frames; moments without one are left out."""
    shown = {caption: pictures[frame] for caption, frame in moments.items() if frame in pictures}
    height = max(round(CELL_PX * one.shape[0] / one.shape[1]) for one in shown.values())
    row = Image.new("RGB", (len(shown) * CELL_PX, height), "white")
    for column, picture_HWC in enumerate(shown.values()):
        cell = Image.fromarray(picture_HWC).resize((CELL_PX, height), Image.Resampling.LANCZOS)
        row.paste(cell, (column * CELL_PX, 0))
    return Strip(label, tuple(shown), row)


def sheet(strips: Sequence[Strip]) -> Image.Image:
    """Strips one above the other, captions of the longest above them, labels at their left ends."""
    widest = max(strips, key=lambda one: one.image.width)
    page = Image.new("RGB", (widest.image.width, LABEL_PX + sum(one.image.height for one in strips)), "white")
    pen, top = ImageDraw.Draw(page), LABEL_PX
    for column, words in enumerate(widest.captions):
        pen.text((column * CELL_PX + 2, 1), words, fill="black")
    for one in strips:
        page.paste(one.image, (0, top))
        pen.rectangle((0, top, 6 * len(one.label) + 4, top + LABEL_PX - 2), fill="white")
        pen.text((2, top), one.label, fill="black")
        top += one.image.height
    return page


def stacked(pages: Sequence[Image.Image]) -> Image.Image:
    """One page above the other."""
    whole = Image.new("RGB", (max(page.width for page in pages), sum(page.height for page in pages)), "white")
    top = 0
    for page in pages:
        whole.paste(page, (0, top))
        top += page.height
    return whole


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
