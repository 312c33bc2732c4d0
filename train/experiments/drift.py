"""Errors that grow by the chunk, and what rollouts cure: `python -m train.experiments.drift`, some 5 CPU minutes.

A chunk is nine frames of a phase that the sound turns, an identity that the reference gives and, in the second part, a
gesture drawn anew for every chunk. Shows what K > 1 does, and what noise on the scores' motion does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from flashtalk.pipeline.schedule import uniform_schedule
from train.draws import ChunkMode, Draws
from train.experiments.report import Report, Row
from train.experiments.toy import ToyNetwork, draws_of, euler_steps, few_steps, fit, seeded
from train.experiments.toy_dmd import DmdSettings, Roll, Rollout, distil
from train.losses import draw_sigma, free_frames, mix, pin, velocity, velocity_loss
from train.plots import line_plot

FRAMES, MOTION = 9, 2
GESTURES, GESTURE_DEVIATION, IDENTITY_RADIUS = 6, 0.05, 1.0
SIGMAS = uniform_schedule(4, 5.0)
TEACHER_SIGMAS = uniform_schedule(50, 1.0)


@dataclass(frozen=True)
class World:
    """Sizes of the toy. gestures: whether the last two of six channels are a random mode of each chunk's new frames."""

    gestures: bool = False
    batch: int = 256
    width: int = 256

    @property
    def channels(self) -> int:
        """Phase as cosine and sine, identity, gesture."""
        return 6 if self.gestures else 4

    def network(self, seed: int) -> ToyNetwork:
        """Conditions are the reference (2) and how far the sound turns the phase (9)."""
        return seeded(lambda: ToyNetwork(self.channels, FRAMES, 2 + FRAMES, self.width), seed)


def conditions(identity_B2: Tensor, turns_BF: Tensor) -> Tensor:
    """What a network is told of a chunk: who, and how far each frame is turned from the last motion frame."""
    angles = turns_BF.cumsum(1)
    return torch.cat((identity_B2, angles - angles[:, MOTION - 1, None]), dim=1)


def draw_identity(generator: torch.Generator, count: int) -> Tensor:
    """A point on a circle, [B, 2]."""
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return IDENTITY_RADIUS * torch.stack((angle.cos(), angle.sin()), dim=1)


def draw_turns(generator: torch.Generator, count: int, frames: int = FRAMES) -> Tensor:
    """Radians from the frame before, [B, F]."""
    return 0.25 * torch.rand(count, frames, generator=generator)


def draw_gesture(generator: torch.Generator, count: int) -> Tensor:
    """Near one of six points of the unit circle, [B, 2]."""
    angle = torch.randint(GESTURES, (count,), generator=generator) * (2 * math.pi / GESTURES)
    return torch.stack((angle.cos(), angle.sin()), 1) + GESTURE_DEVIATION * torch.randn(count, 2, generator=generator)


def truth(world: World, phase_B: Tensor, identity_B2: Tensor, turns_BF: Tensor, generator: torch.Generator) -> Tensor:
    """A real chunk [B, C, F] whose frame before the first had `phase`; motion frames carry another gesture."""
    phase = phase_B[:, None] + turns_BF.cumsum(1)
    count, frames = turns_BF.shape
    parts = [torch.stack((phase.cos(), phase.sin()), 1), identity_B2[..., None].expand(count, 2, frames)]
    if world.gestures:
        old, new = draw_gesture(generator, count), draw_gesture(generator, count)
        parts.append(
            torch.cat((old[..., None].expand(-1, -1, MOTION), new[..., None].expand(-1, -1, frames - MOTION)), 2)
        )
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Batch:
    """Real chunks: the sound's turns, who, and the frames."""

    clean_BCT: Tensor
    identity_B2: Tensor
    turns_BF: Tensor

    @property
    def motion(self) -> Tensor:
        """Its first frames."""
        return self.clean_BCT[:, :, :MOTION]

    @property
    def condition(self) -> Tensor:
        """What networks are told."""
        return conditions(self.identity_B2, self.turns_BF)


def draw_batch(world: World, generator: torch.Generator, count: int) -> Batch:
    """Chunks anywhere in a stream."""
    identity, turns = draw_identity(generator, count), draw_turns(generator, count)
    phase = 2 * math.pi * torch.rand(count, generator=generator)
    return Batch(truth(world, phase, identity, turns, generator), identity, turns)


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
            condition = conditions(first.identity_B2, draw_turns(generator, world.batch))
        exit_step = draws.exit_index(iteration, 0, len(SIGMAS) - 1, role=role)
        made = few_steps(student, noise, motion, condition, SIGMAS, exit_step=exit_step)
        return Rollout(made, motion, condition)

    return roll


# Measures.


@dataclass(frozen=True)
class Errors:
    """By chunk: distance of identity from the reference, radians between phase and what the sound says, how far phase
    is from the unit circle, share of gestures farther than 4 deviations from every mode."""

    identity: list[float]
    phase: list[float]
    radius: list[float]
    gesture: list[float]


@torch.no_grad()
def stream_errors(
    world: World,
    network: ToyNetwork,
    chunks: int,
    sampler: Callable[..., Tensor] = few_steps,
    sigmas: Sequence[float] = SIGMAS,
    count: int = 512,
) -> Errors:
    """Errors of streams of `chunks` chunks, always the same voices, identities and noise."""
    generator = torch.Generator().manual_seed(77)
    first = draw_batch(world, generator, count)
    motion, turns = first.motion, first.turns_BF
    phase = torch.atan2(motion[:, 1, 1], motion[:, 0, 1])
    noise, errors = draws_of(generator, first.clean_BCT.shape), Errors([], [], [], [])
    for _ in range(chunks):
        made = sampler(network, noise, motion, conditions(first.identity_B2, turns), sigmas)
        phase = phase + turns[:, MOTION:].sum(1)
        _append(errors, world, made, phase, first.identity_B2)
        motion, turns = made[:, :, -MOTION:], draw_turns(generator, count)
    return errors


def _append(errors: Errors, world: World, made_BCT: Tensor, phase_B: Tensor, identity_B2: Tensor) -> None:
    last = made_BCT[:, :, -1]
    off = torch.atan2(last[:, 1], last[:, 0]) - phase_B
    errors.phase.append(torch.atan2(off.sin(), off.cos()).abs().mean().item())
    errors.radius.append((last[:, :2].norm(dim=1) - 1).abs().mean().item())
    errors.identity.append((last[:, 2:4] - identity_B2).norm(dim=1).mean().item())
    if world.gestures:
        angles = torch.arange(GESTURES) * (2 * math.pi / GESTURES)
        shown = made_BCT[:, 4:, MOTION:].mean(2)
        away = torch.cdist(shown, torch.stack((angles.cos(), angles.sin()), 1)).min(1).values
        errors.gesture.append((away > 4 * GESTURE_DEVIATION).float().mean().item())


# The two parts.


@dataclass(frozen=True)
class Scale:
    """How much is spent: samples a batch, width of the networks, updates before and during DMD, chunks of a stream."""

    batch: int
    width: int
    pretraining: int
    iterations: int
    chunks: int


FULL = Scale(batch=256, width=192, pretraining=6000, iterations=1500, chunks=50)
QUICK = Scale(batch=128, width=96, pretraining=2000, iterations=400, chunks=20)


def chunk_counts(scale: Scale, report: Report, seed: int) -> None:
    """Part 1: what the number of chunks of a rollout does."""
    world = World(False, scale.batch, scale.width)
    teacher = pretrain(world, scale.pretraining, seed)
    found = {
        "teacher, 50 steps": stream_errors(world, teacher, scale.chunks, euler_steps, TEACHER_SIGMAS, 128),
        "student before DMD": stream_errors(world, teacher, scale.chunks),
    }
    ways: list[tuple[str, int, ChunkMode]] = [("K = 1", 1, "fixed"), ("K = 3", 3, "fixed"), ("K = 5", 5, "fixed")]
    for name, most, mode in [*ways, ("k random in 1..5", 5, "uniform")]:
        student = distilled(world, teacher, DmdSettings(scale.iterations), seed, most, mode)
        found[f"DMD, {name}"] = stream_errors(world, student, scale.chunks)
    marks = [1, scale.chunks // 2, scale.chunks]
    report.tables["chunks of a rollout (errors by chunk)"] = _rows(found, ("identity", "phase", "radius"), marks)
    for measure in ("identity", "phase"):
        curves = {name: list(enumerate(getattr(errors, measure), 1)) for name, errors in found.items()}
        report.plots[f"drift-{measure}.svg"] = line_plot(curves, f"Drift: error of {measure}", "chunk", measure)


def distilled(
    world: World, teacher: ToyNetwork, settings: DmdSettings, seed: int, most_chunks: int, mode: ChunkMode
) -> ToyNetwork:
    """A student that starts as its teacher."""
    roll = roller(world, seed, most_chunks, mode)
    return distil(copy.deepcopy(teacher), teacher, teacher, roll, settings, seed)


def motion_noises(scale: Scale, report: Report, seed: int) -> None:
    """Part 2: noise on the motion that the real and the fake score see, with both kinds of SFT."""
    world, base = World(True, scale.batch, scale.width), DmdSettings(scale.iterations)
    kinds = {
        "clean / clean": base,
        "same t / clean": replace(base, real_motion="same_t"),
        "same t / same t": replace(base, real_motion="same_t", fake_motion="same_t"),
    }
    fixed = {"0.1 / 0.1": replace(base, real_motion=0.1, fake_motion=0.1)}
    found = {}
    for sft, share, extra in (("clean", 0.0, fixed), ("25 % noisy", 0.25, {})):
        teacher = pretrain(world, scale.pretraining, seed, share)
        found[f"SFT {sft}, before DMD"] = stream_errors(world, teacher, scale.chunks)
        for name, settings in {**kinds, **extra}.items():
            student = distilled(world, teacher, settings, seed, 5, "uniform")
            found[f"SFT {sft}, {name}"] = stream_errors(world, student, scale.chunks)
    marks = [1, 5, scale.chunks]
    name = "motion seen by the real / fake score (errors by chunk)"
    report.tables[name] = _rows(found, ("identity", "phase", "gesture"), marks)
    curves = {name: list(enumerate(errors.identity, 1)) for name, errors in found.items()}
    title = "Motion noise: error of identity"
    report.plots["drift-motion-noise.svg"] = line_plot(curves, title, "chunk", "identity", log_y=True)


def _rows(found: dict[str, Errors], measures: Sequence[str], marks: Sequence[int]) -> list[Row]:
    return [
        {
            "run": name,
            **{f"{measure} c{mark}": getattr(errors, measure)[mark - 1] for measure in measures for mark in marks},
        }
        for name, errors in found.items()
    ]


def experiment(quick: bool, seed: int = 0) -> Report:
    """Both parts."""
    report, scale = Report("drift", quick), QUICK if quick else FULL
    chunk_counts(scale, report, seed)
    motion_noises(scale, report, seed)
    return report


def main(
    quick: Annotated[bool, typer.Option(help="Smaller and shorter.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for drift.json and the plots.")] = None,
) -> None:
    """Print the tables; with --out write them too."""
    torch.set_num_threads(1)
    report = experiment(quick)
    typer.echo(report.text())
    if out is not None:
        report.write(out)


if __name__ == "__main__":
    typer.run(main)
