"""Self-correcting DMD at toy scale: losses, draws and order of updates are train/dmd's. Called by mixture and drift."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from train.draws import Draws
from train.experiments.toy import Averaged, ToyNetwork, Trainer, Velocity
from train.losses import (
    MotionNoise,
    clean_from_velocity,
    distribution_matching,
    draw_sigma,
    free_frames,
    mix,
    noise_motion,
    pin,
    velocity,
    velocity_loss,
)


@dataclass(frozen=True)
class Rollout:
    """The last chunk of a rollout: the sample with its motion pinned, that motion, and the condition."""

    sample_BCT: Tensor
    motion_BCM: Tensor
    condition_BD: Tensor


@dataclass(frozen=True)
class DmdSettings:
    """One iteration is one update of the fake score; every `generator_every`-th is also one of the student."""

    iterations: int
    generator_lr: float = 2e-4
    critic_lr: float = 5e-4
    generator_every: int = 5
    score_shift: float = 5.0
    score_span: tuple[float, float] = (0.0, 1.0)
    normalise: bool = True
    wrong_sign: bool = False
    real_motion: MotionNoise = "none"
    fake_motion: MotionNoise = "none"
    average: float = 0.99


Roll = Callable[[ToyNetwork, int, str], Rollout]
"""roll(student, iteration, role): "critic" is called without gradients."""


@dataclass(frozen=True)
class _Noised:
    """A rollout at a random level, and the noise that was added."""

    rollout: Rollout
    sigma_B: Tensor
    noise_BCT: Tensor

    def seen(self, mode: MotionNoise) -> Tensor:
        """What a score network gets: the noised sample, motion by `mode`."""
        motion, sample = self.rollout.motion_BCM, self.rollout.sample_BCT
        given = noise_motion(motion, self.noise_BCT[:, :, : motion.shape[2]], self.sigma_B, mode)
        return pin(mix(sample, self.noise_BCT, self.sigma_B), given)

    @property
    def free(self) -> Tensor:
        """Weights [B, T]: 0 on motion."""
        batch, _, frames = self.rollout.sample_BCT.shape
        return free_frames(frames, torch.full((batch,), self.rollout.motion_BCM.shape[2]))


def distil(
    student: ToyNetwork,
    start_of_critic: ToyNetwork,
    teacher: Velocity,
    roll: Roll,
    settings: DmdSettings,
    seed: int,
    watch: Callable[[int, ToyNetwork], None] | None = None,
) -> ToyNetwork:
    """Train `student` in place and return the average of its weights; `watch(iteration, average)` sees it grow."""
    critic = copy.deepcopy(start_of_critic)
    turns = -(-settings.iterations // settings.generator_every)
    generator_trainer = Trainer(student, settings.generator_lr, turns, (0.0, 0.999))
    critic_trainer = Trainer(critic, settings.critic_lr, settings.iterations, (0.0, 0.999))
    average, draws = Averaged(student, settings.average), Draws(seed)
    for iteration in range(settings.iterations):
        if iteration % settings.generator_every == 0:
            noised = _noised(roll(student, iteration, "generator"), settings, draws, iteration, "generator_score")
            generator_trainer.step(_generator_loss(noised, teacher, critic, settings))
            average.update(student)
        with torch.no_grad():
            noised = _noised(roll(student, iteration, "critic"), settings, draws, iteration, "critic_score")
        critic_trainer.step(_critic_loss(noised, critic, settings))
        if watch is not None:
            watch(iteration + 1, average.network)
    return average.network


def _noised(rollout: Rollout, settings: DmdSettings, draws: Draws, iteration: int, role: str) -> _Noised:
    generator = draws.generator(iteration, 0, role, rank=0)
    count = len(rollout.sample_BCT)
    sigma_B = draw_sigma(generator, count, shift=settings.score_shift, low=0.02, high=0.98, span=settings.score_span)
    return _Noised(rollout, sigma_B, torch.randn(rollout.sample_BCT.shape, generator=generator))


def _generator_loss(noised: _Noised, teacher: Velocity, critic: ToyNetwork, settings: DmdSettings) -> Tensor:
    condition, sigma_B = noised.rollout.condition_BD, noised.sigma_B
    with torch.no_grad():
        for_real, for_fake = noised.seen(settings.real_motion), noised.seen(settings.fake_motion)
        real = clean_from_velocity(for_real, teacher(for_real, sigma_B, condition), sigma_B)
        fake = clean_from_velocity(for_fake, critic(for_fake, sigma_B, condition), sigma_B)
    if settings.wrong_sign:
        real, fake = fake, real
    sample = noised.rollout.sample_BCT
    return distribution_matching(sample, real, fake, noised.free, normalise=settings.normalise)[0]


def _critic_loss(noised: _Noised, critic: ToyNetwork, settings: DmdSettings) -> Tensor:
    prediction = critic(noised.seen(settings.fake_motion), noised.sigma_B, noised.rollout.condition_BD)
    return velocity_loss(prediction, velocity(noised.rollout.sample_BCT, noised.noise_BCT), noised.free)
