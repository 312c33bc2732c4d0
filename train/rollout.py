"""Chunks rolled out by the student through the very functions that serve: what it is trained on is what it will see.

Called by train/dmd.py. Paper, section 3.3: k chunks, chained by their own motion latents; the last one stops at a step
j, and only that step carries a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.models.dit import DiT
from flashtalk.pipeline.chunk import hand_over
from flashtalk.pipeline.denoise import Sampler, build_sampler, denoise, keep_motion
from flashtalk.types import ColourReference, LatentCodec
from train.velocity import Conditions


@dataclass(frozen=True)
class Start:
    """Where streams begin, B of them: conditions of each chunk, motion latents of the portrait, its colours."""

    chunks: tuple[Conditions, ...]
    motion_BCTHW: Tensor
    colours: tuple[ColourReference, ...]


@dataclass(frozen=True)
class Rollout:
    """The last chunk. estimate: x0 as predicted; sample: the same with motion in place; given: its conditions."""

    estimate_BCTHW: Tensor
    sample_BCTHW: Tensor
    motion_BCTHW: Tensor
    given: Conditions


@dataclass(frozen=True)
class Roller:
    """Rolls out `dit`; `draw` gives standard-normal noise of a shape on the device."""

    codec: LatentCodec
    stream: StreamConfig
    draw: Callable[[tuple[int, ...]], Tensor]

    def roll(self, dit: DiT, start: Start, exit_step: int, *, steps: int, colour_strength: float) -> Rollout:
        """len(start.chunks) chunks. With gradients on, step `exit_step` of the last chunk carries one, nothing else."""
        motion = start.motion_BCTHW
        with torch.no_grad():
            for given in start.chunks[:-1]:
                latents = self._chunk(dit, motion, given, steps, None)
                motion = self._hand_over(latents, start, colour_strength)
        estimate = self._chunk(dit, motion, start.chunks[-1], steps, exit_step)
        return Rollout(estimate, keep_motion(estimate, motion), motion, start.chunks[-1])

    def _hand_over(self, latents: Tensor, start: Start, colour_strength: float) -> Tensor:
        motion_frames = self.stream.motion_frames
        return hand_over(
            self.codec, latents, start.colours, motion_frames=motion_frames, colour_strength=colour_strength
        )[1]

    def _chunk(self, dit: DiT, motion: Tensor, given: Conditions, steps: int, exit_step: int | None) -> Tensor:
        reference = given.reference_BCTHW
        latent_shape = (len(motion), motion.shape[1], *reference.shape[2:])
        with torch.autocast(motion.device.type, enabled=False):
            sampler: Sampler = build_sampler(dit, steps, self.stream.shift)
        context = dit.embed_context(given.text_BLD.to(dit.dtype), given.picture_BLD.to(dit.dtype))
        audio = dit.embed_audio(given.windows_BFKD.to(dit.dtype))
        positions = dit.positions(dit.grid(*reference.shape[2:]), motion.device)
        draw = self.draw
        return denoise(
            dit,
            sampler,
            lambda _index: draw(latent_shape),
            motion,
            reference,
            positions,
            context,
            audio,
            exit_step=exit_step,
        )
