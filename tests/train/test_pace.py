"""A run with a time instead of a number ends then, and its learning rates with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from flashtalk.errors import ConfigError
from tests.train.two_ranks import alone
from train.config import RunConfig, SftTraining, load_train_config
from train.optim import OptimConfig, Optimiser
from train.pace import LOOK_EVERY, PROBE, Pace

ITERATION_S = 0.25
COMPILING_S = 30.0


def run_of(run: RunConfig) -> tuple[float, Optimiser, list[float]]:
    """How long a run takes whose first iteration compiles, its optimiser, the rates of all updates."""
    now_s, rates = 0.0, []
    with alone() as ranks:
        pace, network = Pace(run, ranks, lambda: now_s), nn.Linear(2, 2)
        optimiser = Optimiser(network, OptimConfig(schedule="cosine", cosine_floor=0.1), run.iterations)
        for iteration in pace.iterations():
            now_s += ITERATION_S + (0 if iteration else COMPILING_S)
            optimiser.backward(network(torch.ones(1, 2)).sum())
            rates.append(optimiser.step().learning_rate)
            pace.look(iteration + 1, [optimiser])
    return now_s, optimiser, rates


@pytest.mark.parametrize("guess", [80, 100_000])
def test_a_run_with_a_time_takes_that_time_whatever_was_guessed(guess: int) -> None:
    took_s, optimiser, rates = run_of(RunConfig(iterations=guess, limit_s=150))
    assert took_s == pytest.approx(150, abs=2 * ITERATION_S)
    assert optimiser.total_updates == pytest.approx(len(rates), abs=1)
    assert rates[-1] == pytest.approx(0.1 * rates[0], rel=0.01)


def test_a_time_too_short_to_compile_ends_the_run_all_the_same() -> None:
    _, _, rates = run_of(RunConfig(iterations=1000, limit_s=5))
    assert len(rates) == LOOK_EVERY


def test_a_time_that_ends_before_the_pace_is_known_is_kept() -> None:
    took_s, _, rates = run_of(RunConfig(iterations=20, limit_s=COMPILING_S + PROBE / 2 * ITERATION_S))
    assert len(rates) == PROBE / 2
    assert took_s == pytest.approx(COMPILING_S + PROBE / 2 * ITERATION_S)


def test_a_run_without_a_time_makes_what_was_asked_for() -> None:
    _, optimiser, rates = run_of(RunConfig(iterations=25))
    assert (len(rates), optimiser.total_updates) == (25, 25)


def test_a_time_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="limit_s is 0"):
        load_train_config(SftTraining, "sft-small", {"run.limit_s": 0})
