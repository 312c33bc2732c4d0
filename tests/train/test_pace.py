"""A run with a time instead of a number ends then, and its learning rates with it."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from flashtalk.errors import ConfigError
from tests.train.two_ranks import alone
from train.config import RunConfig, SftTraining, load_train_config
from train.optim import OptimConfig, Optimiser
from train.pace import LOOK_EVERY, PROBE, Pace

ITERATION_S = 0.004


def iterations_of(run: RunConfig) -> tuple[int, Optimiser, list[float]]:
    """How many a run makes whose iterations take ITERATION_S, its optimiser, the rates of all updates."""
    rates = []
    with alone() as ranks:
        pace, network = Pace(run, ranks), nn.Linear(2, 2)
        optimiser = Optimiser(network, OptimConfig(schedule="cosine", cosine_floor=0.1), run.iterations)
        for iteration in pace.iterations():
            time.sleep(ITERATION_S)
            optimiser.backward(network(torch.ones(1, 2)).sum())
            rates.append(optimiser.step().learning_rate)
            pace.look(iteration + 1, [optimiser])
    return len(rates), optimiser, rates


@pytest.mark.parametrize("guess", [80, 100_000])
def test_a_run_with_a_time_takes_that_time_whatever_was_guessed(guess: int) -> None:
    started_s = time.monotonic()
    made, optimiser, rates = iterations_of(RunConfig(iterations=guess, limit_s=1.5))
    assert 1.4 < time.monotonic() - started_s < 2.0
    assert made > PROBE + 2 * LOOK_EVERY
    assert optimiser.total_updates == pytest.approx(made, abs=LOOK_EVERY)
    assert rates[-1] == pytest.approx(0.1 * rates[0], rel=0.2)


def test_a_time_too_short_for_the_first_iterations_ends_the_run_all_the_same() -> None:
    made, _, _ = iterations_of(RunConfig(iterations=1000, limit_s=0.05))
    assert made <= 3 * LOOK_EVERY


def test_a_run_without_a_time_makes_what_was_asked_for() -> None:
    made, optimiser, _ = iterations_of(RunConfig(iterations=25))
    assert (made, optimiser.total_updates) == (25, 25)


def test_a_time_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="limit_s is 0"):
        load_train_config(SftTraining, "sft-small", {"run.limit_s": 0})
