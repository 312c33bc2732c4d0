"""What a character does while it is heard: one pose a frame, known exactly. Called by synthetic/clips and by training.

Mouth: synthetic/articulation. Everything else: synthetic/gestures. Nothing depends on sound that begins more than
articulation.LOOK_AHEAD_S later, because a streaming model cannot hear it either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flashtalk.errors import InputError
from flashtalk.ops.seeds import mixed_seed
from train.synthetic import gestures
from train.synthetic.articulation import mouth_track
from train.synthetic.gestures import FPS, Gestures
from train.synthetic.phonemes import Utterance
from train.synthetic.pose import POSE
from train.synthetic.visemes import MOUTH, Array

__all__ = ["FPS", "MOODS", "Performance", "perform"]

MOODS: tuple[str, ...] = tuple(gestures.MOODS)

_EFFORT = (0.94, 1.06)


@dataclass(frozen=True)
class Performance:
    """poses_FP: float32, columns as in POSE, 25 frames a second, frame i at i / 25 s. mood: one of MOODS."""

    poses_FP: Tensor
    mood: str


def perform(utterance: Utterance, frame_count: int, seed: int, *, mood: str | None = None) -> Performance:
    """Act `utterance` for `frame_count` frames; after its end the character goes on living in silence.

    The same seed gives the same motion, and a longer performance begins with the shorter one. `mood` None: drawn from
    the seed. Raises InputError(mood, frame_count, phonemes).
    """
    if frame_count < 1:
        raise InputError(f"{frame_count} frames were asked for; give 1 or more", code="frame_count")
    mood = _drawn_mood(seed) if mood is None else mood
    if mood not in MOODS:
        raise InputError(f"no mood {mood!r}; there are {', '.join(MOODS)}", code="mood")
    effort = np.random.default_rng(mixed_seed(seed, "effort")).uniform(*_EFFORT)
    spoken = mouth_track(utterance.phonemes, utterance.samples, frame_count)
    acted = Gestures(utterance.phonemes, frame_count, seed, gestures.MOODS[mood]).columns()
    poses = _joined(spoken, acted, effort * gestures.MOODS[mood].articulation)
    return Performance(torch.from_numpy(poses.astype(np.float32)), mood)


def _drawn_mood(seed: int) -> str:
    """Neutral twice as often as any other."""
    return ("neutral", *MOODS)[np.random.default_rng(mixed_seed(seed, "which mood")).integers(len(MOODS) + 1)]


def _joined(spoken: Array, acted: dict[str, Array], effort: float) -> Array:
    poses = np.zeros((len(spoken), len(POSE)))
    for name, column in zip(MOUTH, spoken.T, strict=True):
        scale = 1.0 if name in ("press", "tuck") else effort
        poses[:, POSE.index(name)] = np.clip(scale * column, -1.0 if name == "wide" else 0.0, 1.0)
    for name, column in acted.items():
        if name == "smile":
            column = np.minimum(1.0, column + poses[:, POSE.index("smile")])  # noqa: PLW2901
        poses[:, POSE.index(name)] = column
    return poses
