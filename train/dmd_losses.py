"""One update of the student and one of the fake score (paper, section 3.3). Called by train/dmd.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.models.dit import DiT
from train.config import DmdTraining
from train.losses import (
    MotionNoise,
    background_loss,
    clean_from_velocity,
    distribution_matching,
    draw_sigma,
    free_frames,
    mix,
    motion_alignment_loss,
    noise_motion,
    pin,
    velocity,
    velocity_loss,
)
from train.rollout import Rollout
from train.velocity import predict, predict_guided

Stats = dict[str, Tensor]
Draw = Callable[[tuple[int, ...]], Tensor]
"""draw(shape) -> standard-normal noise on the device."""


@dataclass(frozen=True)
class ScoreInput:
    """A sample noised for the scores: real and fake get the very same."""

    noisy_BCTHW: Tensor
    noise_BCTHW: Tensor
    sigma_B: Tensor
    weight_BT: Tensor


@dataclass(frozen=True)
class Scores:
    """Teacher and fake score, and how they are asked."""

    teacher: DiT
    fake: DiT
    config: DmdTraining
    negative_LD: Tensor

    def student_loss(
        self, rollout: Rollout, truth_BCTHW: Tensor, numbers: torch.Generator, draw: Draw
    ) -> tuple[Tensor, Stats]:
        """Distribution matching on the rollout's sample, and the departures that are switched on.

        truth: latents of the real chunk, for scores that see real motion and for nothing else.
        """
        config = self.config
        with torch.no_grad():
            asked = self._score_input(rollout, truth_BCTHW, numbers, draw)
            fake = self._clean(asked, predict(self.fake, asked.noisy_BCTHW, asked.sigma_B, rollout.given))
            guidance = (self.negative_LD, config.text_scale, config.audio_scale)
            velocities = predict_guided(self.teacher, asked.noisy_BCTHW, asked.sigma_B, rollout.given, *guidance)
            real = self._clean(asked, velocities)
        loss, watched = distribution_matching(rollout.sample_BCTHW, real, fake, asked.weight_BT)
        stats = {"dmd": loss.detach(), "difference": watched.difference, "normaliser": watched.normaliser}
        if config.motion_loss_weight:
            frames = rollout.motion_BCTHW.shape[2]
            own, kept = rollout.estimate_BCTHW[:, :, :frames], asked.weight_BT[:, :frames]
            loss = loss + config.motion_loss_weight * motion_alignment_loss(own, rollout.motion_BCTHW, kept)
        if config.background_weight:
            loss = loss + config.background_weight * _still_loss(rollout, real)
        return loss, stats

    def fake_loss(
        self, rollout: Rollout, truth_BCTHW: Tensor, numbers: torch.Generator, draw: Draw
    ) -> tuple[Tensor, Stats]:
        """Flow matching of the fake score on what the student made; conditions are never dropped."""
        asked = self._score_input(rollout, truth_BCTHW, numbers, draw)
        predicted = predict(self.fake, asked.noisy_BCTHW, asked.sigma_B, rollout.given)
        target = velocity(rollout.sample_BCTHW, asked.noise_BCTHW)
        loss = velocity_loss(predicted, target, asked.weight_BT)
        return loss, {"fake": loss.detach()}

    def _score_input(self, rollout: Rollout, truth_BCTHW: Tensor, numbers: torch.Generator, draw: Draw) -> ScoreInput:
        config, sample = self.config, rollout.sample_BCTHW.detach()
        sigma_B = draw_sigma(
            numbers, len(sample), shift=config.score_shift, low=config.score_low, high=config.score_high
        )
        eps, levels_B = draw(tuple(sample.shape)), sigma_B.to(sample.device)
        frames = rollout.motion_BCTHW.shape[2]
        motion = rollout.motion_BCTHW if config.motion_source == "predicted" else truth_BCTHW[:, :, :frames]
        motion = noise_motion(motion, eps[:, :, :frames], levels_B, self._motion_noise())
        noisy = pin(mix(sample, eps, levels_B), motion)
        motion_B = torch.full((len(sample),), frames, device=sample.device)
        return ScoreInput(noisy, eps, sigma_B, free_frames(sample.shape[2], motion_B))

    def _motion_noise(self) -> MotionNoise:
        mode = self.config.motion_noise
        return self.config.motion_noise_level if mode == "fixed" else mode

    @staticmethod
    def _clean(asked: ScoreInput, velocities: Tensor) -> Tensor:
        return clean_from_velocity(asked.noisy_BCTHW, velocities, asked.sigma_B.to(velocities.device))


def _still_loss(rollout: Rollout, real: Tensor) -> Tensor:
    """Pull towards the reference where the teacher's estimate hardly moves: surroundings, in latents."""
    reference = rollout.given.reference_BCTHW[:, -real.shape[1] :, :1]
    moves = real.diff(dim=2).abs().mean((1, 2), keepdim=True)
    still = (moves < moves.flatten(1).median(1).values.view(-1, 1, 1, 1, 1)).float()
    return background_loss(rollout.sample_BCTHW, reference, still)
