"""The drawn truth of a film, drawn once for all variants and kept as a file. Called by evaluate/studio."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from flashtalk.checkpoint import write_tensors
from train.evaluate import pictures
from train.evaluate.film import Track, draw, watch
from train.evaluate.scores import FPS, Drawn, levels_of
from train.evaluate.subjects import MOOD, Subject
from train.judge.network import Judge
from train.synthetic.motion import perform
from train.synthetic.phonemes import Utterance
from train.synthetic.pose import mouth_opening
from train.synthetic.render import Renderer

FRAMES, POSES, STILL = "frames", "poses", "still"


@dataclass(frozen=True)
class Truth:
    """A drawing: its measures, its poses, and its frames on disk."""

    drawn: Drawn
    poses_FP: Tensor
    file: Path

    def frames(self, start: int = 0, end: int | None = None) -> Tensor:
        """uint8 frames_FHWC on the CPU."""
        with safe_open(self.file, framework="pt") as tensors:
            part: Tensor = tensors.get_slice(FRAMES)[start:end]
        return part

    def pictures(self, frames: Collection[int]) -> dict[int, np.ndarray]:
        """Frame -> picture [H, W, 3], for those that it has."""
        return {i: self.frames(i, i + 1)[0].numpy() for i in frames if i < len(self.poses_FP)}


def draw_truth(
    file: Path, subject: Subject, utterance: Utterance, renderer: Renderer, judge: Judge, size_px: tuple[int, int]
) -> None:
    """Draw what the subject does when it says this, measure it, write it."""
    poses_FP = perform(utterance, round(utterance.duration_s * FPS), subject.seed, mood=MOOD).poses_FP
    frames = draw(renderer, subject.character, poses_FP, size_px)
    track = watch(judge, frames).track
    measured = {name: torch.from_numpy(getattr(track, name)) for name in Track.__dataclass_fields__}
    still = torch.from_numpy(pictures.still_pixels(frames))
    write_tensors(file, {FRAMES: frames.cpu(), POSES: poses_FP, STILL: still, **measured})


def load_truth(file: Path) -> Truth:
    """What `draw_truth` wrote."""
    with safe_open(file, framework="pt") as tensors:
        track = Track(**{name: tensors.get_tensor(name).numpy() for name in Track.__dataclass_fields__})
        poses_FP, still = tensors.get_tensor(POSES), tensors.get_tensor(STILL).numpy()
    opening = mouth_opening(poses_FP).numpy()
    return Truth(Drawn(opening, track, levels_of(opening, track), still), poses_FP, file)
