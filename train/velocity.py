"""A prediction of a network at a noise level: for SFT, the fake score and the teacher. Called by train/sft and dmd."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flashtalk.models.dit import DiT
from flashtalk.pipeline.schedule import T_MAX
from train.losses import guided


@dataclass(frozen=True)
class Conditions:
    """What a chunk is told, float32: mask and reference [B, stride + C, T, H, W], rows of text (zero where padded) and
    of the picture, audio windows. Zero windows are the null sound, the negative prompt's rows the null text."""

    reference_BCTHW: Tensor
    text_BLD: Tensor
    picture_BLD: Tensor
    windows_BFKD: Tensor

    def without_text(self, negative_LD: Tensor) -> Conditions:
        """With the negative prompt in place of the text."""
        return replace(self, text_BLD=negative_LD.expand_as(self.text_BLD))

    def without_sound(self) -> Conditions:
        """With the null sound."""
        return replace(self, windows_BFKD=torch.zeros_like(self.windows_BFKD))

    def drop(self, negative_LD: Tensor, text_B: Tensor, audio_B: Tensor) -> Conditions:
        """Text and sound replaced by their null where the flags are True (paper 3.2; dropout for guidance)."""
        text = torch.where(text_B[:, None, None], negative_LD, self.text_BLD)
        windows = self.windows_BFKD * ~audio_B[:, None, None, None]
        return replace(self, text_BLD=text, windows_BFKD=windows)


def predict(dit: DiT, noisy_BCTHW: Tensor, sigma_B: Tensor, given: Conditions) -> Tensor:
    """Velocity v_BCTHW, float32, one level a sample."""
    context = dit.embed_context(given.text_BLD.to(dit.dtype), given.picture_BLD.to(dit.dtype))
    audio = dit.embed_audio(given.windows_BFKD.to(dit.dtype))
    with torch.autocast(noisy_BCTHW.device.type, enabled=False):
        time = dit.embed_time(sigma_B * T_MAX)
    positions = dit.positions(dit.grid(*noisy_BCTHW.shape[2:]), noisy_BCTHW.device)
    return dit(noisy_BCTHW, given.reference_BCTHW, time, positions, context, audio)


def predict_guided(
    dit: DiT,
    noisy_BCTHW: Tensor,
    sigma_B: Tensor,
    given: Conditions,
    negative_LD: Tensor,
    text_scale: float,
    audio_scale: float,
) -> Tensor:
    """The teacher's velocity with text and audio guidance (standard convention): three passes as one batch."""
    no_text = given.without_text(negative_LD)
    all_three = _stack(given, no_text, no_text.without_sound())
    velocities = predict(dit, noisy_BCTHW.repeat(3, 1, 1, 1, 1), sigma_B.repeat(3), all_three)
    with_both, with_sound, with_none = velocities.chunk(3)
    return guided(with_both, with_sound, with_none, text_scale, audio_scale)


def _stack(*given: Conditions) -> Conditions:
    return Conditions(
        torch.cat([one.reference_BCTHW for one in given]),
        torch.cat([one.text_BLD for one in given]),
        torch.cat([one.picture_BLD for one in given]),
        torch.cat([one.windows_BFKD for one in given]),
    )
