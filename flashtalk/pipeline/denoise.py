"""The few-step loop: noise in, latents out. Pure functions; serving and training roll out through the same lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.models.dit import DiT, TimeEmbedding
from flashtalk.models.rope import Positions
from flashtalk.pipeline.schedule import SCHEDULES, T_MAX
from flashtalk.types import AudioContext, Context

DrawNoise = Callable[[int], Tensor]
"""draw(i) -> the i-th standard-normal float32 tensor [B, C, T, H, W] of this chunk."""


@dataclass(frozen=True)
class Sampler:
    """Sigmas from 1 to 0 and the time embedding of each but the last."""

    sigmas: tuple[float, ...]
    times: tuple[TimeEmbedding, ...]


def build_sampler(dit: DiT, steps: int, shift: float, schedule: str = "uniform") -> Sampler:
    """What stays the same for every chunk with these steps."""
    sigmas = SCHEDULES[schedule](steps, shift)
    return Sampler(sigmas, tuple(dit.embed_time(torch.tensor([sigma * T_MAX])) for sigma in sigmas[:-1]))


def keep_motion(latents_BCTHW: Tensor, motion_BCTHW: Tensor) -> Tensor:
    """The latents with their first frames replaced by the motion latents."""
    return torch.cat((motion_BCTHW, latents_BCTHW[:, :, motion_BCTHW.shape[2] :]), dim=2)


def clean_estimate(latents_BCTHW: Tensor, velocity_BCTHW: Tensor, sigma: float) -> Tensor:
    """x0 = x_sigma - sigma v."""
    return latents_BCTHW - sigma * velocity_BCTHW


def denoise(
    dit: DiT,
    sampler: Sampler,
    draw: DrawNoise,
    motion_BCTHW: Tensor,
    reference_BCTHW: Tensor,
    positions: Positions,
    context: Context,
    audio: AudioContext,
    *,
    exit_step: int | None = None,
) -> Tensor:
    """Latents of one chunk, float32. Each step predicts x0 and adds fresh noise of the next level.

    `exit_step` (training) gives the x0 of that step, motion positions not replaced. Where gradients are on, only the
    last step carries one.
    """
    last = len(sampler.times) - 1 if exit_step is None else exit_step
    latents = keep_motion(draw(0), motion_BCTHW)
    for i in range(last + 1):
        with torch.set_grad_enabled(torch.is_grad_enabled() and i == last):
            velocity = dit(latents, reference_BCTHW, sampler.times[i], positions, context, audio)
        latents = clean_estimate(latents, velocity, sampler.sigmas[i])
        if i < last:
            level = sampler.sigmas[i + 1]
            latents = (1 - level) * latents + level * draw(i + 1)
        if i != exit_step:
            latents = keep_motion(latents, motion_BCTHW)
    return latents
