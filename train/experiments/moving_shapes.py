"""DMD by chunks on little films: `python -m train.experiments.moving_shapes`, 3.7 CPU minutes.

A coloured disc on 8 x 8 pixels. Its height is what the sound says, its colour what a blurred reference shows; in every
chunk it glides to a side at a speed that nobody says. So a chunk has many answers (few steps blur them), and a stream
feeds its own colour back (errors grow). Does DMD reach the distribution, and what does K > 1 do to drift?
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import typer
from torch import Tensor

from flashtalk.pipeline.schedule import uniform_schedule
from train.draws import ChunkMode, Draws
from train.experiments.report import Report, Row, command
from train.experiments.toy import Scale, ToyNetwork, draws_of, euler_steps, few_steps, fit, seeded
from train.experiments.toy_dmd import DmdSettings, Roll, Rollout, distil
from train.losses import draw_sigma, free_frames, mix, pin, velocity, velocity_from_clean, velocity_loss
from train.plots import line_plot

SIDE_PX, COLOURS = 8, 2
FRAMES, MOTION = 6, 2
RADIUS_PX, CONTRAST = 1.4, 3.0
GLIDE_PX = 0.9
"""Most columns a frame, around the edge and in again on the other side."""
BLUR = 0.1
"""Deviation of the colour as the reference shows it: motion frames know better, so a student copies from them."""
SIGMAS = uniform_schedule(4, 5.0)
TEACHER_STEPS = 50
LEAST_SIGMA = 0.02


@dataclass(frozen=True)
class Discs:
    """B films of T frames: column 0..8 (a circle), row in pixels from the middle, colour [B, 2] of length 1."""

    column_BT: Tensor
    row_BT: Tensor
    colour_B2: Tensor

    def pictures(self) -> Tensor:
        """Latents [B, 2 x 8 x 8, T]."""
        pixel = torch.arange(SIDE_PX) + 0.5
        across = _around(pixel - self.column_BT[..., None])
        down = pixel - SIDE_PX / 2 - self.row_BT[..., None]
        disc = _bell(down)[..., :, None] * _bell(across)[..., None, :]
        coloured = CONTRAST * disc[:, None] * self.colour_B2[:, :, None, None, None]
        return coloured.permute(0, 1, 3, 4, 2).flatten(1, 3)


def _bell(distance: Tensor) -> Tensor:
    return torch.exp(-0.5 * (distance / RADIUS_PX).square())


def _around(distance: Tensor) -> Tensor:
    """The shorter way around."""
    return torch.remainder(distance + SIDE_PX / 2, SIDE_PX) - SIDE_PX / 2


@dataclass(frozen=True)
class Batch:
    """Real chunks, whose first frames are motion; what networks are told: blurred colour, rows of all frames."""

    clean_BCT: Tensor
    discs: Discs
    reference_B2: Tensor

    @property
    def motion(self) -> Tensor:
        """The first frames."""
        return self.clean_BCT[:, :, :MOTION]

    @property
    def condition(self) -> Tensor:
        """[B, 2 + T]."""
        return torch.cat((self.reference_B2, self.discs.row_BT), dim=1)


def draw_rows(generator: torch.Generator, count: int, before_BM: Tensor | None = None) -> Tensor:
    """What the sound says: rows [B, T] that wander within 2 pixels; the first ones are `before`."""
    angle = 2 * math.pi * torch.rand(count, 1, generator=generator)
    speed = 0.3 + 0.5 * torch.rand(count, 1, generator=generator)
    rows = 2 * torch.sin(angle + speed * torch.arange(FRAMES))
    return rows if before_BM is None else torch.cat((before_BM, rows[:, before_BM.shape[1] :]), dim=1)


def draw_columns(generator: torch.Generator, start_B: Tensor) -> Tensor:
    """Columns [B, T] of a chunk after the motion frames: one speed a chunk, to either side."""
    step_B = GLIDE_PX * (2 * torch.rand(len(start_B), generator=generator) - 1)
    return torch.remainder(start_B[:, None] + step_B[:, None] * torch.arange(1, FRAMES - MOTION + 1), SIDE_PX)


def draw_batch(generator: torch.Generator, count: int) -> Batch:
    """Chunks anywhere in a stream: the motion frames glide by the chunk before, the new ones by their own."""
    start_B = SIDE_PX * torch.rand(count, generator=generator)
    before = draw_columns(generator, start_B)[:, :MOTION]
    columns = torch.cat((before, draw_columns(generator, before[:, -1])), dim=1)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    colour = torch.stack((angle.cos(), angle.sin()), dim=1)
    discs = Discs(columns, draw_rows(generator, count), colour)
    return Batch(discs.pictures(), discs, colour + BLUR * torch.randn(count, COLOURS, generator=generator))


# Training.


FULL = Scale(batch=128, width=256, pretraining=3000, iterations=1000, chunks=40)
QUICK = Scale(batch=96, width=192, pretraining=1500, iterations=500, chunks=20)
HIGH = (0.5, 1.0)
"""Levels that the scores look at. Below, this perceptron's fake score is too poor: see the last row of the table."""


class FilmNetwork(ToyNetwork):
    """Says the clean film, gives the velocity to it: all of the noise does not fit through its narrow layers."""

    def forward(self, noisy_BCT: Tensor, sigma_B: Tensor, condition_BD: Tensor) -> Tensor:
        """See `toy.Velocity`."""
        clean = super().forward(noisy_BCT, sigma_B, condition_BD)
        return velocity_from_clean(noisy_BCT, clean, sigma_B.clamp(min=LEAST_SIGMA))


def pretrain(scale: Scale, seed: int) -> ToyNetwork:
    """SFT on real chunks with clean motion."""
    generator = torch.Generator().manual_seed(seed)
    network = seeded(lambda: FilmNetwork(COLOURS * SIDE_PX**2, FRAMES, COLOURS + FRAMES, scale.width), seed)

    def loss(_i: int) -> Tensor:
        batch = draw_batch(generator, scale.batch)
        noise = torch.randn(batch.clean_BCT.shape, generator=generator)
        sigma_B = draw_sigma(generator, scale.batch, shift=3.0)
        noisy = pin(mix(batch.clean_BCT, noise, sigma_B), batch.motion)
        free = free_frames(FRAMES, torch.full((scale.batch,), MOTION))
        predicted, target = network(noisy, sigma_B, batch.condition), velocity(batch.clean_BCT, noise)
        return velocity_loss(predicted, target, free, sigma_B.square()[:, None, None])

    return fit(network, loss, scale.pretraining, lr=1e-3)


def next_condition(generator: torch.Generator, condition_BD: Tensor) -> Tensor:
    """The sound goes on: the last rows become those of the motion frames."""
    rows = draw_rows(generator, len(condition_BD), condition_BD[:, -MOTION:])
    return torch.cat((condition_BD[:, :COLOURS], rows), dim=1)


def roller(batch: int, seed: int, most_chunks: int, mode: ChunkMode) -> Roll:
    """Rollouts of k chunks that begin at real motion and go on from their own."""
    draws = Draws(seed)

    def roll(student: ToyNetwork, iteration: int, role: str) -> Rollout:
        generator = draws.generator(iteration, 0, role, rank=0)
        first = draw_batch(generator, batch)
        motion, condition = first.motion, first.condition
        noise = draws_of(generator, first.clean_BCT.shape)
        for _ in range(draws.chunks(iteration, 0, most_chunks, mode, role) - 1):
            with torch.no_grad():
                motion = few_steps(student, noise, motion, condition, SIGMAS)[:, :, -MOTION:]
            condition = next_condition(generator, condition)
        exit_step = draws.exit_index(iteration, 0, len(SIGMAS) - 1, role=role)
        return Rollout(few_steps(student, noise, motion, condition, SIGMAS, exit_step=exit_step), motion, condition)

    return roll


def distilled(
    scale: Scale,
    teacher: ToyNetwork,
    seed: int,
    most_chunks: int,
    mode: ChunkMode,
    span: tuple[float, float] = HIGH,
) -> ToyNetwork:
    """A student that starts as its teacher."""
    settings = DmdSettings(scale.iterations, generator_lr=5e-5, critic_lr=1e-3, average=0.98, score_span=span)
    roll = roller(scale.batch, seed, most_chunks, mode)
    return distil(copy.deepcopy(teacher), teacher, teacher, roll, settings, seed)


# Measures.


def see(pictures_BCT: Tensor) -> tuple[Discs, Tensor]:
    """The disc nearest to each picture, and how much of the picture it leaves unexplained (0..1), [B, T].

    The colour is the mean of the film's, as long as it was seen.
    """
    frames = pictures_BCT.unflatten(1, (COLOURS, SIDE_PX, SIDE_PX))
    colour = frames.sum(dim=(2, 3, 4))
    colour = colour / colour.norm(dim=1, keepdim=True).clamp(min=1e-6)
    light = (frames * colour[:, :, None, None, None]).sum(dim=1).clamp(min=0)
    pixel = torch.arange(SIDE_PX) + 0.5
    total = light.sum(dim=(1, 2)).clamp(min=1e-6)
    row = (light.sum(dim=2) * (pixel - SIDE_PX / 2)[:, None]).sum(dim=1) / total
    turn = 2 * math.pi * pixel / SIDE_PX
    across = light.sum(dim=1)
    angle = torch.atan2((across * turn.sin()[:, None]).sum(dim=1), (across * turn.cos()[:, None]).sum(dim=1))
    discs = Discs(torch.remainder(angle * SIDE_PX / (2 * math.pi), SIDE_PX), row, colour)
    nearest = discs.pictures()
    left = (pictures_BCT - nearest).square().sum(dim=1) / nearest.square().sum(dim=1)
    return discs, left


@dataclass(frozen=True)
class Errors:
    """By chunk. blurred: part of a picture that is no disc; colour: distance from the true one; height: correlation
    with what the sound said; glide: distance (1-D Wasserstein, pixels) of the ways from the data's; seam: change where
    a chunk begins by change inside; chunk: sliced Wasserstein distance of whole chunks from real ones."""

    blurred: list[float]
    colour: list[float]
    height: list[float]
    glide: list[float]
    seam: list[float]
    chunk: list[float]


@torch.no_grad()
def stream_errors(network: ToyNetwork | None, chunks: int, *, many_steps: bool = False, count: int = 512) -> Errors:
    """Errors of streams, always the same sounds, colours and noise; without a network those of other real streams."""
    generator = torch.Generator().manual_seed(77)
    first = draw_batch(generator, count)
    motion, condition, discs = first.motion, first.condition, first.discs
    noise, errors = draws_of(generator, first.clean_BCT.shape), Errors(*([] for _ in fields(Errors)))
    sample, sigmas = (euler_steps, uniform_schedule(TEACHER_STEPS, 3.0)) if many_steps else (few_steps, SIGMAS)
    for _ in range(chunks):
        rows = condition[:, COLOURS:]
        discs, other = gone_on(generator, discs, rows), gone_on(generator, discs, rows)
        made = other.pictures() if network is None else sample(network, noise, motion, condition, sigmas)
        _append(errors, made, discs.pictures(), rows)
        motion, condition = made[:, :, -MOTION:], next_condition(generator, condition)
    return errors


def gone_on(generator: torch.Generator, discs: Discs, rows_BT: Tensor) -> Discs:
    """The next chunk of real films."""
    columns = draw_columns(generator, discs.column_BT[:, -1])
    return Discs(torch.cat((discs.column_BT[:, -MOTION:], columns), dim=1), rows_BT, discs.colour_B2)


def _append(errors: Errors, made_BCT: Tensor, real_BCT: Tensor, rows_BT: Tensor) -> None:
    seen, left = see(made_BCT[:, :, MOTION:])
    colour, true = (film[:, :, MOTION:].unflatten(1, (COLOURS, -1)).sum(dim=(2, 3)) for film in (made_BCT, real_BCT))
    errors.blurred.append(left.mean().item())
    errors.colour.append(((colour - true).norm(dim=1) / true.norm(dim=1)).mean().item())
    pair = torch.stack((seen.row_BT.flatten(), rows_BT[:, MOTION:].flatten()))
    errors.height.append(torch.corrcoef(pair)[0, 1].item())
    errors.glide.append(wasserstein(_ways(made_BCT), _ways(real_BCT)))
    change = made_BCT.diff(dim=2).abs().mean(dim=(0, 1))
    errors.seam.append((change[MOTION - 1] / change[MOTION:].mean()).item())
    errors.chunk.append(sliced_distance(made_BCT[:, :, MOTION:].flatten(1), real_BCT[:, :, MOTION:].flatten(1)))


def _ways(chunk_BCT: Tensor) -> Tensor:
    """Columns from the last motion frame to the last frame, [B]."""
    column = see(chunk_BCT)[0].column_BT
    return _around(column[:, MOTION:] - column[:, MOTION - 1 : -1]).sum(dim=1)


def wasserstein(a_N: Tensor, b_N: Tensor) -> float:
    """Mean distance between the sorted samples."""
    return (a_N.sort().values - b_N.sort().values).abs().mean().item()


def sliced_distance(a_ND: Tensor, b_ND: Tensor, directions: int = 128) -> float:
    """Root mean square over random directions of the distance between sorted projections."""
    axes = torch.randn(a_ND.shape[1], directions, generator=torch.Generator().manual_seed(5))
    axes = axes / axes.norm(dim=0)
    a, b = ((rows @ axes).sort(dim=0).values for rows in (a_ND, b_ND))
    return (a - b).square().mean().sqrt().item()


# The experiment.

WAYS: tuple[tuple[str, int, ChunkMode, tuple[float, float]], ...] = (
    ("K = 1", 1, "fixed", HIGH),
    ("K = 3", 3, "fixed", HIGH),
    ("K = 5", 5, "fixed", HIGH),
    ("k random in 1..5", 5, "uniform", HIGH),
    ("K = 1, scores at all levels", 1, "fixed", (0.0, 1.0)),
)
MEASURES = ("blurred", "glide", "chunk", "colour", "height", "seam")


def experiment(quick: bool, seed: int = 0) -> Report:
    """Teacher, few steps before DMD, and students of each K."""
    report, scale = Report("moving_shapes", quick), QUICK if quick else FULL
    teacher = pretrain(scale, seed)
    found = {
        "other real films (noise floor)": stream_errors(None, scale.chunks),
        f"teacher, {TEACHER_STEPS} steps": stream_errors(teacher, scale.chunks, many_steps=True),
        "before DMD, 4 steps": stream_errors(teacher, scale.chunks),
    }
    seconds = dict.fromkeys(found, 0.0)
    for name, most_chunks, mode, span in WAYS:
        started = time.process_time()
        student = distilled(scale, teacher, seed, most_chunks, mode, span)
        seconds[f"DMD, {name}"] = time.process_time() - started
        found[f"DMD, {name}"] = stream_errors(student, scale.chunks)
    marks = [1, min(10, scale.chunks), scale.chunks]
    report.tables["films by chunk"] = [_row(name, errors, marks, seconds[name]) for name, errors in found.items()]
    for measure in ("blurred", "colour", "chunk"):
        curves = {name: list(enumerate(getattr(errors, measure), 1)) for name, errors in found.items()}
        report.plots[f"moving-shapes-{measure}.svg"] = line_plot(curves, f"Moving shapes: {measure}", "chunk", measure)
    return report


def _row(name: str, errors: Errors, marks: Sequence[int], seconds: float) -> Row:
    values = {f"{what} c{mark}": getattr(errors, what)[mark - 1] for what in MEASURES for mark in marks}
    return {"run": name, **values, "CPU s": seconds}


if __name__ == "__main__":
    typer.run(command(experiment))
