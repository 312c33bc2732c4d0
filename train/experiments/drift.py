"""Errors that grow by the chunk, and what rollouts cure: `python -m train.experiments.drift`, 3.5 CPU minutes.

A chunk is nine frames of a phase that the sound turns and an identity that the reference shows, sharply or blurred.
First what K > 1 does to drift, then what noise on the motion that the scores see does.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import typer
from torch import Tensor

from flashtalk.pipeline.schedule import uniform_schedule
from train.draws import ChunkMode, Draws
from train.experiments.report import Report, Row, command
from train.experiments.toy import Scale, ToyNetwork, draws_of, few_steps, fit, seeded
from train.experiments.toy_dmd import DmdSettings, Roll, Rollout, distil
from train.losses import MotionNoise, draw_sigma, free_frames, mix, pin, velocity, velocity_loss
from train.plots import line_plot

FRAMES, MOTION = 9, 2
SIGMAS = uniform_schedule(4, 5.0)


@dataclass(frozen=True)
class World:
    """blur: deviation of the identity as the reference shows it. With blur, motion frames know better who it is, so a
    student copies from them, and copies its own errors once they are its own."""

    blur: float = 0.0
    batch: int = 256
    width: int = 128

    def network(self, seed: int) -> ToyNetwork:
        """Latents are cosine and sine of the phase and a point for identity; told are the reference and the turns."""
        return seeded(lambda: ToyNetwork(4, FRAMES, 2 + FRAMES, self.width), seed)


def conditions(reference_B2: Tensor, turns_BF: Tensor) -> Tensor:
    """What a network is told of a chunk: who, and how far each frame is turned from the last motion frame."""
    angles = turns_BF.cumsum(1)
    return torch.cat((reference_B2, angles - angles[:, MOTION - 1, None]), dim=1)


def draw_identity(generator: torch.Generator, count: int) -> Tensor:
    """A point on a circle, [B, 2]."""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return torch.stack((angle.cos(), angle.sin()), dim=1)


def draw_turns(generator: torch.Generator, count: int, frames: int = FRAMES) -> Tensor:
    """Radians from the frame before, [B, F]."""
    return 0.25 * torch.rand(count, frames, generator=generator)


def truth(phase_B: Tensor, identity_B2: Tensor, turns_BF: Tensor) -> Tensor:
    """A real chunk [B, C, F] whose frame before the first had `phase`."""
    phase = phase_B[:, None] + turns_BF.cumsum(1)
    identity = identity_B2[..., None].expand(-1, -1, FRAMES)
    return torch.cat((phase.cos()[:, None], phase.sin()[:, None], identity), dim=1)


@dataclass(frozen=True)
class Batch:
    """Real chunks: the frames, who it is, how the reference shows it, and the sound's turns."""

    clean_BCT: Tensor
    identity_B2: Tensor
    reference_B2: Tensor
    turns_BF: Tensor

    @property
    def motion(self) -> Tensor:
        """Its first frames."""
        return self.clean_BCT[:, :, :MOTION]

    @property
    def condition(self) -> Tensor:
        """What networks are told."""
        return conditions(self.reference_B2, self.turns_BF)


def draw_batch(world: World, generator: torch.Generator, count: int) -> Batch:
    """Chunks anywhere in a stream."""
    identity, turns = draw_identity(generator, count), draw_turns(generator, count)
    phase = 2 * math.pi * torch.rand(count, generator=generator)
    reference = identity + world.blur * torch.randn(count, 2, generator=generator)
    return Batch(truth(phase, identity, turns), identity, reference, turns)


# Training.


def pretrain(world: World, steps: int, seed: int, noisy_share: float = 0.0) -> ToyNetwork:
    """SFT with clean motion; `noisy_share` of the samples have noise everywhere and a loss everywhere."""
    generator, network = torch.Generator().manual_seed(seed), world.network(seed)

    def loss(_i: int) -> Tensor:
        batch = draw_batch(world, generator, world.batch)
        noise = torch.randn(batch.clean_BCT.shape, generator=generator)
        sigma_B = draw_sigma(generator, world.batch, shift=3.0)
        given_B = torch.where(torch.rand(world.batch, generator=generator) < noisy_share, 0, MOTION)
        noisy = pin(mix(batch.clean_BCT, noise, sigma_B), batch.motion, given_B)
        predicted = network(noisy, sigma_B, batch.condition)
        return velocity_loss(predicted, velocity(batch.clean_BCT, noise), free_frames(FRAMES, given_B))

    return fit(network, loss, steps, lr=1e-3)


def roller(world: World, seed: int, most_chunks: int, mode: ChunkMode) -> Roll:
    """Rollouts of k chunks that begin at real motion and go on from their own."""
    draws = Draws(seed)

    def roll(student: ToyNetwork, iteration: int, role: str) -> Rollout:
        generator = draws.generator(iteration, 0, role, rank=0)
        first = draw_batch(world, generator, world.batch)
        motion, condition = first.motion, first.condition
        noise = draws_of(generator, first.clean_BCT.shape)
        for _ in range(draws.chunks(iteration, 0, most_chunks, mode, role) - 1):
            with torch.no_grad():
                motion = few_steps(student, noise, motion, condition, SIGMAS)[:, :, -MOTION:]
            condition = conditions(first.reference_B2, draw_turns(generator, world.batch))
        exit_step = draws.exit_index(iteration, 0, len(SIGMAS) - 1, role=role)
        made = few_steps(student, noise, motion, condition, SIGMAS, exit_step=exit_step)
        return Rollout(made, motion, condition)

    return roll


# Measures.


@dataclass(frozen=True)
class Errors:
    """By chunk: distance from the true identity, radians between phase and what the sound says, how far phase is from
    the unit circle."""

    identity: list[float]
    phase: list[float]
    radius: list[float]


@torch.no_grad()
def stream_errors(
    world: World,
    network: ToyNetwork,
    chunks: int,
    count: int = 512,
) -> Errors:
    """Errors of streams of `chunks` chunks, always the same voices, identities and noise."""
    generator = torch.Generator().manual_seed(77)
    first = draw_batch(world, generator, count)
    motion, turns = first.motion, first.turns_BF
    phase = torch.atan2(motion[:, 1, 1], motion[:, 0, 1])
    noise, errors = draws_of(generator, first.clean_BCT.shape), Errors([], [], [])
    for _ in range(chunks):
        made = few_steps(network, noise, motion, conditions(first.reference_B2, turns), SIGMAS)
        phase = phase + turns[:, MOTION:].sum(1)
        _append(errors, made, phase, first.identity_B2)
        motion, turns = made[:, :, -MOTION:], draw_turns(generator, count)
    return errors


def _append(errors: Errors, made_BCT: Tensor, phase_B: Tensor, identity_B2: Tensor) -> None:
    last = made_BCT[:, :, -1]
    off = torch.atan2(last[:, 1], last[:, 0]) - phase_B
    errors.phase.append(torch.atan2(off.sin(), off.cos()).abs().mean().item())
    errors.radius.append((last[:, :2].norm(dim=1) - 1).abs().mean().item())
    errors.identity.append((last[:, 2:4] - identity_B2).norm(dim=1).mean().item())


# The two parts.


FULL = Scale(batch=256, width=128, pretraining=5000, iterations=1500, chunks=30)
QUICK = Scale(batch=128, width=96, pretraining=2000, iterations=600, chunks=20)
REFERENCE_BLUR = 0.3
WAYS: tuple[tuple[str, int, ChunkMode], ...] = (
    ("K = 1", 1, "fixed"),
    ("K = 3", 3, "fixed"),
    ("K = 5", 5, "fixed"),
    ("k random in 1..5", 5, "uniform"),
)
MOTION_NOISES: tuple[tuple[MotionNoise, MotionNoise], ...] = (
    ("none", "none"),
    ("same_t", "none"),
    ("same_t", "same_t"),
)


def distilled(
    world: World, teacher: ToyNetwork, settings: DmdSettings, seed: int, most_chunks: int, mode: ChunkMode
) -> ToyNetwork:
    """A student that starts as its teacher."""
    roll = roller(world, seed, most_chunks, mode)
    return distil(copy.deepcopy(teacher), teacher, teacher, roll, settings, seed)


def chunk_counts(scale: Scale, report: Report, seed: int) -> None:
    """Part 1: what the number of chunks of a rollout does, and costs."""
    world = World(REFERENCE_BLUR, scale.batch, scale.width)
    teacher = pretrain(world, scale.pretraining, seed)
    found = {"before DMD": stream_errors(world, teacher, scale.chunks)}
    costs = {"before DMD": 0.0}
    for name, most, mode in WAYS:
        start_s = time.process_time()
        student = distilled(world, teacher, DmdSettings(scale.iterations), seed, most, mode)
        costs[f"DMD, {name}"] = time.process_time() - start_s
        found[f"DMD, {name}"] = stream_errors(world, student, scale.chunks)
    rows = _rows(found, ("identity", "phase", "radius"), [1, scale.chunks // 3, scale.chunks])
    report.tables["chunks of a rollout (errors by chunk)"] = [{**row, "cpu s": costs[str(row["run"])]} for row in rows]
    for measure in ("identity", "phase"):
        curves = {name: list(enumerate(getattr(errors, measure), 1)) for name, errors in found.items()}
        report.plots[f"drift-{measure}.svg"] = line_plot(curves, f"Drift: error of {measure}", "chunk", measure)


def motion_noises(scale: Scale, report: Report, seed: int) -> None:
    """Part 2: noise on the motion that the real and the fake score see, with both kinds of SFT."""
    world, found = World(0.0, scale.batch, scale.width), {}
    for sft, noisy_share in (("clean SFT", 0.0), ("25 % noisy SFT", 0.25)):
        teacher = pretrain(world, scale.pretraining, seed, noisy_share)
        found[f"{sft}, before DMD"] = stream_errors(world, teacher, scale.chunks)
        for real, fake in MOTION_NOISES:
            settings = DmdSettings(scale.iterations, real_motion=real, fake_motion=fake)
            student = distilled(world, teacher, settings, seed, 5, "uniform")
            found[f"{sft}, {real} / {fake}"] = stream_errors(world, student, scale.chunks)
    name = "noise on the motion that the real / fake score sees (errors by chunk)"
    report.tables[name] = _rows(found, ("identity", "phase"), [1, 5, scale.chunks])
    curves = {name: list(enumerate(errors.identity, 1)) for name, errors in found.items()}
    title = "Motion noise: error of identity"
    report.plots["drift-motion-noise.svg"] = line_plot(curves, title, "chunk", "identity", log_y=True)


def _rows(found: dict[str, Errors], measures: Sequence[str], marks: Sequence[int]) -> list[Row]:
    return [
        {"run": name, **{f"{what} c{mark}": getattr(errors, what)[mark - 1] for what in measures for mark in marks}}
        for name, errors in found.items()
    ]


def experiment(quick: bool, seed: int = 0) -> Report:
    """Both parts."""
    report, scale = Report("drift", quick), QUICK if quick else FULL
    chunk_counts(scale, report, seed)
    motion_noises(scale, report, seed)
    return report


if __name__ == "__main__":
    typer.run(command(experiment))
