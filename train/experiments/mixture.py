"""DMD on a two-dimensional mixture with an exact teacher: `python -m train.experiments.mixture`, 4.5 CPU minutes.

Eight modes on a circle, weights 1:2 in turn. Shows that the loss, the critic, the ratio of updates and the sampler are
right, and what each does when it is wrong.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import typer
from torch import Tensor

from flashtalk.pipeline.schedule import uniform_schedule
from train.draws import Draws
from train.experiments.report import Report, Row, command
from train.experiments.toy import ToyNetwork, draws_of, euler_steps, few_steps, fit, seeded
from train.experiments.toy_dmd import DmdSettings, Roll, Rollout, distil
from train.losses import draw_sigma, mix, velocity, velocity_from_clean, velocity_loss
from train.plots import line_plot, point_plot

STEPS = 4
MODES, RADIUS, DEVIATION = 8, 2.0, 0.15
Sample = Callable[..., Tensor]


@dataclass(frozen=True)
class Scale:
    """How much is spent: samples a batch, width of the networks, updates before and during DMD."""

    batch: int
    width: int
    pretraining: int
    iterations: int


FULL = Scale(batch=512, width=256, pretraining=3000, iterations=4000)
QUICK = Scale(batch=256, width=128, pretraining=1500, iterations=1600)


def centres() -> Tensor:
    """[modes, 2]."""
    angles = torch.arange(MODES) * (2 * math.pi / MODES)
    return RADIUS * torch.stack((angles.cos(), angles.sin()), dim=1)


def weights() -> Tensor:
    """[modes], 1:2 in turn, sum 1."""
    return torch.tensor([1.0, 2.0]).repeat(MODES // 2) / (1.5 * MODES)


def draw_data(generator: torch.Generator, count: int) -> Tensor:
    """[B, 2, 1]."""
    mode = torch.multinomial(weights(), count, replacement=True, generator=generator)
    return (centres()[mode] + DEVIATION * torch.randn(count, 2, generator=generator))[..., None]


def exact_velocity(noisy_BCT: Tensor, sigma_B: Tensor, _condition_BD: Tensor) -> Tensor:
    """The mixture's own velocity: what a perfect network returns."""
    level, position = sigma_B[:, None, None], noisy_BCT.transpose(1, 2)
    variance = ((1 - level) * DEVIATION) ** 2 + level**2
    away = position - (1 - level) * centres()
    share = (weights().log() - away.square().sum(2) / (2 * variance[..., 0])).softmax(1)
    means = centres() + (1 - level) * DEVIATION**2 / variance * away
    return velocity_from_clean(noisy_BCT, (share[..., None] * means).sum(1)[..., None], sigma_B)


# Measures.


def sliced_distance(samples_BCT: Tensor, data_BCT: Tensor) -> float:
    """Sliced Wasserstein-2 distance over 64 directions; equally many points on both sides."""
    angles = torch.arange(64) * (math.pi / 64)
    directions = torch.stack((angles.cos(), angles.sin()))
    ends = [(points.flatten(1) @ directions).sort(0).values for points in (samples_BCT, data_BCT)]
    return (ends[0] - ends[1]).square().mean().sqrt().item()


@dataclass(frozen=True)
class Quality:
    """distance: sliced W2; outliers: share farther than 4 deviations from every mode; modes: wrong mode weights (total
    variation); alive: modes with at least a third of their share."""

    distance: float
    outliers: float
    modes: float
    alive: int


def measure(samples_BCT: Tensor) -> Quality:
    """Against data of a fixed seed; samples that are not finite count as far away."""
    samples = torch.nan_to_num(samples_BCT, 1e6, 1e6, -1e6).clamp(-1e6, 1e6)
    data = draw_data(torch.Generator().manual_seed(99), len(samples))
    away, mode = torch.cdist(samples.flatten(1), centres()).min(1)
    inside = mode[away <= 4 * DEVIATION]
    share = torch.bincount(inside, minlength=MODES) / max(len(inside), 1)
    alive = int((share > weights() / 3).sum())
    outliers = (away > 4 * DEVIATION).float().mean().item()
    return Quality(sliced_distance(samples, data), outliers, 0.5 * (share - weights()).abs().sum().item(), alive)


def sample(network: Callable, sampler: Sample, sigmas: Sequence[float], count: int = 10_000) -> Tensor:
    """[B, 2, 1] by a sampler of `toy`, always from the same noise."""
    draw = draws_of(torch.Generator().manual_seed(5), (count, 2, 1))
    with torch.no_grad():
        return sampler(network, draw, torch.zeros(count, 2, 0), torch.zeros(count, 0), sigmas)


# Training.


def pretrain(scale: Scale, seed: int) -> ToyNetwork:
    """The undistilled student: flow matching on the data."""
    generator = torch.Generator().manual_seed(seed)
    network = seeded(lambda: ToyNetwork(channels=2, frames=1, width=scale.width), seed)

    def loss(_i: int) -> Tensor:
        clean = draw_data(generator, scale.batch)
        noise, sigma_B = torch.randn(clean.shape, generator=generator), draw_sigma(generator, scale.batch, shift=1.0)
        predicted = network(mix(clean, noise, sigma_B), sigma_B, torch.zeros(scale.batch, 0))
        return velocity_loss(predicted, velocity(clean, noise))

    return fit(network, loss, scale.pretraining, lr=1e-3)


def roller(seed: int, batch: int, sampler: Sample, sigmas: Sequence[float]) -> Roll:
    """Rollouts of one chunk that stop at a random step; only the forward of that step has a graph."""
    draws = Draws(seed)

    def roll(student: ToyNetwork, iteration: int, role: str) -> Rollout:
        noise = draws_of(draws.generator(iteration, 0, role, rank=0), (batch, 2, 1))
        exit_step = draws.exit_index(iteration, 0, len(sigmas) - 1, role=role)
        motion, condition = torch.zeros(batch, 2, 0), torch.zeros(batch, 0)
        made = sampler(student, noise, motion, condition, sigmas, exit_step=exit_step)
        return Rollout(made, motion, condition)

    return roll


@dataclass(frozen=True)
class Variant:
    """One training run: what differs from the baseline."""

    name: str
    settings: DmdSettings
    train_sampler: Sample = few_steps
    shift: float = 5.0


@dataclass(frozen=True)
class Trained:
    """The average of the student's weights, and its distance by iteration."""

    variant: Variant
    network: ToyNetwork
    curve: list[tuple[float, float]]

    def samples(self, sampler: Sample | None = None) -> Tensor:
        """By the sampler it was trained with, or another."""
        return sample(self.network, sampler or few_steps, uniform_schedule(STEPS, self.variant.shift))


def train(variant: Variant, start: ToyNetwork, batch: int, seed: int, every: int = 500) -> Trained:
    """Distil a copy of `start`; the curve has a point every `every` iterations."""
    sigmas = uniform_schedule(STEPS, variant.shift)
    curve: list[tuple[float, float]] = [(0, measure(sample(start, few_steps, sigmas)).distance)]

    def watch(iteration: int, network: ToyNetwork) -> None:
        if iteration % every == 0:
            curve.append((iteration, measure(sample(network, few_steps, sigmas)).distance))

    roll = roller(seed, batch, variant.train_sampler, sigmas)
    student = copy.deepcopy(start)
    network = distil(student, start, exact_velocity, roll, variant.settings, seed, watch)
    return Trained(variant, network, curve)


def variants(iterations: int) -> list[Variant]:
    """The baseline, what may differ, and what must fail."""
    base = DmdSettings(iterations)
    short = replace(base, iterations=iterations * 3 // 8)
    return [
        Variant("DMD", base),
        Variant(
            "steps and score levels without shift",
            replace(base, iterations=iterations // 2, score_shift=1.0),
            shift=1.0,
        ),
        Variant("no normaliser", replace(short, normalise=False)),
        Variant("ratio 1:1", replace(short, generator_every=1, iterations=short.iterations // 2)),
        Variant("Euler rollout", short, train_sampler=euler_steps),
        Variant("critic almost frozen", replace(short, critic_lr=1e-6)),
        Variant("wrong sign", replace(short, wrong_sign=True)),
    ]


class _Table:
    """Rows of one table, one a set of samples."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, name: str, samples: Tensor) -> None:
        found = measure(samples)
        row = {"SWD": found.distance, "outliers": found.outliers, "mode TV": found.modes, "alive": float(found.alive)}
        self.rows.append({"samples": name, **row})


def experiment(quick: bool, seed: int = 0) -> Report:
    """All rows and plots."""
    report, table, scale = Report("mixture", quick), _Table(), QUICK if quick else FULL
    start = pretrain(scale, seed)
    _add_known(table, start)
    trained = []
    for variant in variants(scale.iterations):
        trained.append(train(variant, start, scale.batch, seed))
        table.add(variant.name, trained[-1].samples())
        if variant.train_sampler is euler_steps:
            table.add("Euler rollout, sampled by Euler", trained[-1].samples(euler_steps))
    report.tables["four-step samples against the data"] = table.rows
    curves = {one.variant.name: one.curve for one in trained}
    title = "Mixture: distance of four-step samples from the data"
    report.plots["mixture.svg"] = line_plot(curves, title, "iteration", "sliced W2", log_y=True)
    report.plots["mixture-samples.svg"] = _clouds(start, trained[0])
    return report


def _add_known(table: _Table, start: ToyNetwork) -> None:
    """What is known before DMD."""
    fine = uniform_schedule(100, 1.0)
    table.add("other data (noise floor)", draw_data(torch.Generator().manual_seed(3), 10_000))
    table.add("exact teacher, 100 steps", sample(exact_velocity, euler_steps, fine))
    table.add("before DMD, 100 steps", sample(start, euler_steps, fine))
    for shift in (5.0, 1.0):
        table.add(f"before DMD, 4 steps, shift {shift:g}", sample(start, few_steps, uniform_schedule(STEPS, shift)))


def _clouds(start: ToyNetwork, trained: Trained) -> str:
    clouds = {
        "before DMD": sample(start, few_steps, uniform_schedule(STEPS, trained.variant.shift)),
        "DMD": trained.samples(),
        "data": draw_data(torch.Generator().manual_seed(4), 10_000),
    }
    points = {name: [(x, y) for x, y in cloud[:1000].flatten(1).tolist()] for name, cloud in clouds.items()}
    return point_plot(points, "Mixture: four-step samples", "x", "y")


if __name__ == "__main__":
    typer.run(command(experiment))
