"""What a gradient at one random step of one random chunk estimates: `python -m train.experiments.truncated_gradient`.

A chain of chunks by a small network under fixed smooth scores. All pairs (chunks k, exit step j) enumerated give the
gradient of the objective; draws of train.draws must average to it, biased ways to draw must not. A CPU minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
import typer
from torch import Tensor

from flashtalk.pipeline.schedule import uniform_schedule
from train.draws import Draws
from train.experiments.report import Report, Row, command
from train.experiments.toy import ToyNetwork, draws_of, few_steps, seeded
from train.losses import clean_from_velocity, distribution_matching, free_frames, mix, pin
from train.plots import line_plot

CHUNKS, STEPS, SHIFT = 3, 4, 5.0
CHANNELS, FRAMES, MOTION = 2, 3, 1
FIRST_MOTION = -2.0
"""Far from where chunks lead, so that the first chunk differs from the third."""
SIGMAS = uniform_schedule(STEPS, SHIFT)
Pair = tuple[int, int]


def student(seed: int) -> ToyNetwork:
    """Weights larger than usual, so that chunks depend on each other."""
    network = seeded(lambda: ToyNetwork(CHANNELS, FRAMES, width=24, depth=2), seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    return network


def chained(network: ToyNetwork, pair: Pair, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample and motion of the last chunk; each chunk starts from the last frame of the one before it."""
    chunks, exit_step = pair
    draw, condition = draws_of(generator, (count, CHANNELS, FRAMES)), torch.zeros(count, 0)
    motion = torch.full((count, CHANNELS, MOTION), FIRST_MOTION)
    with torch.no_grad():
        for _ in range(chunks - 1):
            motion = few_steps(network, draw, motion, condition, SIGMAS)[:, :, -MOTION:]
    return few_steps(network, draw, motion, condition, SIGMAS, exit_step=exit_step), motion


def chained_in_full(network: ToyNetwork, pair: Pair, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The same numbers with a graph through every step and chunk: what truncation leaves out."""
    draw, motion = draws_of(generator, (count, CHANNELS, FRAMES)), torch.full((count, CHANNELS, MOTION), FIRST_MOTION)
    for chunk in range(1, pair[0] + 1):
        made, last = pin(draw(0), motion), pair[1] if chunk == pair[0] else STEPS - 1
        for step in range(last + 1):
            sigma_B = torch.full((count,), SIGMAS[step])
            made = pin(clean_from_velocity(made, network(made, sigma_B, torch.zeros(count, 0)), sigma_B), motion)
            if step < last:
                made = pin(mix(made, draw(0), torch.full((count,), SIGMAS[step + 1])), motion)
        if chunk < pair[0]:
            motion = made[:, :, -MOTION:]
    return made, motion


def real_clean(sample: Tensor) -> Tensor:
    """A fixed, smooth, curved target field."""
    return 0.7 * sample.roll(1, dims=1).sin() + 0.3


def fake_clean(sample: Tensor) -> Tensor:
    """Another."""
    return 0.8 * sample + 0.3 * (2 * sample.roll(1, dims=2)).cos()


Chain = Callable[[ToyNetwork, Pair, int, torch.Generator], tuple[Tensor, Tensor]]


def gradient(network: ToyNetwork, pair: Pair, count: int, generator: torch.Generator, chain: Chain = chained) -> Tensor:
    """Gradient of the distribution matching loss by all weights, as one vector."""
    sample, motion = chain(network, pair, count, generator)
    weight_BT = free_frames(FRAMES, torch.full((count,), motion.shape[2]))
    with torch.no_grad():
        real, fake = real_clean(sample), fake_clean(sample)
    loss, _ = distribution_matching(sample, real, fake, weight_BT)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def enumerated(network: ToyNetwork, count: int, seed: int, chain: Chain = chained) -> Tensor:
    """The mean over all pairs, `count` samples each: the gradient of the objective."""
    generator = torch.Generator().manual_seed(seed)
    pairs = list(product(range(1, CHUNKS + 1), range(STEPS)))
    return torch.stack([gradient(network, pair, count, generator, chain) for pair in pairs]).mean(0)


def drawn_pairs(way: str, seed: int) -> Iterator[Pair]:
    """Pairs without end, as a run with this way to draw would meet them."""
    draws, iteration = Draws(seed), 0
    while True:
        match way:
            case "uniform k and j":
                yield draws.chunks(iteration, 0, CHUNKS), draws.exit_index(iteration, 0, STEPS)
            case "shuffled pairs":
                yield draws.pair(iteration, CHUNKS, STEPS)
            case "always k = K":
                yield draws.chunks(iteration, 0, CHUNKS, "fixed"), draws.exit_index(iteration, 0, STEPS)
            case "always the last step":
                yield draws.chunks(iteration, 0, CHUNKS), draws.exit_index(iteration, 0, STEPS, "last")
            case "k below K":
                yield draws.chunks(iteration, 0, CHUNKS, "below"), draws.exit_index(iteration, 0, STEPS)
        iteration += 1


UNBIASED = ("uniform k and j", "shuffled pairs")
BIASED = ("always k = K", "always the last step", "k below K")


@dataclass(frozen=True)
class Fit:
    """How near a vector is to the reference: cosine, error relative to its norm, ratio of norms."""

    cosine: float
    error: float
    norm: float


def compare(estimate: Tensor, reference: Tensor) -> Fit:
    """Both one-dimensional."""
    cosine = torch.cosine_similarity(estimate, reference, dim=0).item()
    norms = estimate.norm().item(), reference.norm().item()
    return Fit(cosine, (estimate - reference).norm().item() / norms[1], norms[0] / norms[1])


def running_mean(network: ToyNetwork, way: str, marks: tuple[int, ...], seed: int, batch: int = 64) -> list[Tensor]:
    """The mean of the first n single-draw gradients, for each n of `marks` (rising)."""
    generator, pairs = torch.Generator().manual_seed(seed), drawn_pairs(way, seed)
    total, means = torch.zeros(()), []
    for n in range(1, marks[-1] + 1):
        total = total + gradient(network, next(pairs), batch, generator)
        if n in marks:
            means.append(total / n)
    return means


def experiment(quick: bool, seed: int = 0) -> Report:
    """Errors by number of draws, for every way to draw; and full back-propagation for comparison."""
    report = Report("truncated_gradient", quick)
    network = student(seed)
    count, marks = (8_000, (1, 12, 120, 480)) if quick else (40_000, (1, 12, 120, 480, 1200, 4800))
    reference = enumerated(network, count, seed=1)
    floor = compare(enumerated(network, count, seed=2), reference)
    rows: list[Row] = [{"estimate": "the reference again, other noise", "draws": "all pairs", **vars(floor)}]
    curves = {}
    for way in (*UNBIASED, *BIASED):
        fits = [compare(mean, reference) for mean in running_mean(network, way, marks, seed=3)]
        rows += [{"estimate": way, "draws": str(n), **vars(fit)} for n, fit in zip(marks, fits, strict=True)]
        curves[way] = [(torch.tensor(n).log10().item(), fit.error) for n, fit in zip(marks, fits, strict=True)]
    in_full = compare(enumerated(network, count // 4, 1, chained_in_full), reference)
    rows.append({"estimate": "back-propagation through the chain", "draws": "all pairs", **vars(in_full)})
    report.tables["gradient against that of all pairs (k, j)"] = rows
    title = "Truncated gradient: error of the mean of n draws"
    report.plots["truncated_gradient.svg"] = line_plot(curves, title, "log10 n", "relative error", log_y=True)
    return report


if __name__ == "__main__":
    typer.run(command(experiment))
