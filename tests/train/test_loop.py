"""A run that is told to end keeps what it has, and goes on from there as if it had never been told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch
from torch import nn

from tests.train.two_ranks import alone
from train.config import RunConfig
from train.loop import LOOK_EVERY, Stats, run_loop
from train.optim import OptimConfig, Optimiser
from train.pace import Pace
from train.progress import Progress
from train.ranks import Ranks
from train.states import RunState

ITERATIONS = 3 * LOOK_EVERY


def run(ranks: Ranks, folder: Path, told_at: int | None = None) -> tuple[list[int], torch.Tensor]:
    """Iterations that this run made, and the weights at its end."""
    torch.manual_seed(0)
    network = nn.Linear(4, 4)
    optimiser = Optimiser(nn.ModuleDict({"dit": network}), OptimConfig(), ITERATIONS)
    made: list[int] = []

    def step(iteration: int) -> Stats:
        made.append(iteration)
        if iteration == told_at:
            os.kill(os.getpid(), signal.SIGTERM)
        draw = torch.Generator().manual_seed(iteration)
        optimiser.backward((network(torch.randn(8, 4, generator=draw)) - 1).square().mean())
        optimiser.step()
        return {}

    config = RunConfig(out=str(folder), iterations=ITERATIONS)
    state = RunState({"student": nn.ModuleDict({"dit": network})}, {"student": optimiser}, {})
    with Progress(folder, ITERATIONS, ranks, 100) as progress:
        run_loop(config, ranks, state, step, progress, Pace(config, ranks))
    return made, network.weight.detach().clone()


def test_a_run_that_is_told_to_end_saves_and_goes_on_later(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with alone() as ranks:
        _, never_told = run(ranks, tmp_path / "whole")
        first, _ = run(ranks, tmp_path / "told", told_at=LOOK_EVERY + 3)
        second, weights = run(ranks, tmp_path / "told")
    assert first == list(range(2 * LOOK_EVERY))
    assert second == list(range(2 * LOOK_EVERY, ITERATIONS))
    assert torch.equal(weights, never_told)
    assert signal.getsignal(signal.SIGTERM) is before
