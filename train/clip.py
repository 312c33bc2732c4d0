"""A piece of film for training, drawn or real: pictures and their sound in one value. Made by train/synthetic/clips and
train/footage, written by train/shard_writer, read by train/shards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashtalk.errors import InputError

FPS = 25
SAMPLE_RATE = 16000
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
SPLITS = ("train", "validation", "test")

Frames = NDArray[np.uint8]
Samples = NDArray[np.float32]
Poses = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """F frames at 25 fps and exactly their sound; raises InputError(clip) if they do not belong together.

    frames_FHWC: uint8 RGB. samples: float32 mono in [-1, 1] at 16 kHz, 640 for each frame. poses_FP: the known truth
    (synthetic/pose), None for real footage. subject: who is seen, voice: who is heard; neither appears in two splits.
    details: what else is known, fit for JSON.
    """

    key: str
    frames_FHWC: Frames = field(repr=False)
    samples: Samples = field(repr=False)
    poses_FP: Poses | None = field(repr=False)
    caption: str
    subject: str
    voice: str
    language: str
    split: str
    source: str
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        shape, count = self.frames_FHWC.shape, len(self.frames_FHWC)
        wrong = (
            (self.frames_FHWC.dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3, f"frames of shape {shape}"),
            (count < 1, "no frame"),
            (self.samples.shape != (count * SAMPLES_PER_FRAME,), f"{self.samples.shape} samples for {count} frames"),
            (self.samples.dtype != np.float32, f"samples of type {self.samples.dtype}"),
            (not np.isfinite(self.samples).all(), "samples that are not finite"),
            (self.poses_FP is not None and len(self.poses_FP) != count, "not one pose for each frame"),
            (self.split not in SPLITS, f"split {self.split!r}"),
        )
        for failed, given in wrong:
            if failed:
                raise InputError(
                    f"clip {self.key} has {given}; a clip has uint8 frames [F, H, W, 3], {SAMPLES_PER_FRAME} finite "
                    f"float32 samples a frame, a pose a frame or none, and a split of {', '.join(SPLITS)}",
                    code="clip",
                )

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return len(self.frames_FHWC) / FPS

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.frames_FHWC.shape[1:3]
        return height, width

    def most_chunks(self, chunk_frames: int = 33, motion_frames: int = 5) -> int:
        """How many overlapping chunks it can supervise: 33 frames 1, 61 frames 2, 145 frames 5 (paper, 3.3)."""
        return max(0, (len(self.frames_FHWC) - motion_frames) // (chunk_frames - motion_frames))
