from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from flashtalk.pipeline.schedule import uniform_schedule
from train.experiments.mixture import (
    Quality,
    Scale,
    Variant,
    centres,
    draw_data,
    exact_velocity,
    measure,
    pretrain,
    sample,
    train,
)
from train.experiments.toy import ToyNetwork, euler_steps, few_steps
from train.experiments.toy_dmd import DmdSettings
from train.losses import mix, velocity

SCALE = Scale(batch=256, width=256, pretraining=1200, iterations=1000)
BASE = DmdSettings(SCALE.iterations, generator_lr=5e-4, critic_lr=2e-3, average=0.95)
SIGMAS = uniform_schedule(4, 5.0)


@pytest.fixture(scope="module")
def start() -> ToyNetwork:
    return pretrain(SCALE, 0)


@pytest.fixture(scope="module")
def before(start: ToyNetwork) -> Quality:
    return measure(sample(start, few_steps, SIGMAS))


def quality(variant: Variant, start: ToyNetwork) -> Quality:
    return measure(train(variant, start, SCALE.batch, 0, every=10_000).samples())


def test_the_exact_teacher_is_exact() -> None:
    """Its velocity is the best that a network could predict, and its fine ODE gives the data."""
    generator = torch.Generator().manual_seed(1)
    clean, sigma_B = draw_data(generator, 50_000), torch.full((50_000,), 0.4)
    noise = torch.randn(clean.shape, generator=generator)
    noisy, target = mix(clean, noise, sigma_B), velocity(clean, noise)
    predicted = exact_velocity(noisy, sigma_B, torch.zeros(50_000, 0))
    error = (predicted - target).square().mean()
    for other in (1.02 * predicted, predicted + 0.05, predicted + 0.02 * noisy):
        assert (other - target).square().mean() > error
    found = measure(sample(exact_velocity, euler_steps, uniform_schedule(100, 1.0)))
    assert found.distance < 0.08
    assert found.outliers < 0.01
    assert found.alive == 8


def test_measures_see_what_they_should() -> None:
    data = draw_data(torch.Generator().manual_seed(2), 10_000)
    assert measure(data).distance < 0.06
    assert measure(data).outliers < 0.001
    one_mode = centres()[0].view(1, 2, 1) + 0.1 * torch.randn(10_000, 2, 1, generator=torch.Generator().manual_seed(3))
    assert measure(one_mode).alive == 1
    assert measure(one_mode).modes == pytest.approx(11 / 12, abs=0.01)
    assert measure(torch.full((10_000, 2, 1), torch.nan)).outliers == 1


def test_dmd_reaches_the_data(start: ToyNetwork, before: Quality) -> None:
    """Measured: .36 of the distance before DMD."""
    found = quality(Variant("DMD", BASE), start)
    assert found.distance < 0.5 * before.distance
    assert found.outliers < 0.7 * before.outliers
    assert found.alive == 8


def test_wrong_sign_flees_the_data(start: ToyNetwork, before: Quality) -> None:
    wrong = replace(BASE, iterations=300, wrong_sign=True, generator_lr=1e-3)
    assert quality(Variant("wrong sign", wrong), start).distance > 3 * before.distance


def test_critic_that_cannot_follow_loses_the_data(start: ToyNetwork, before: Quality) -> None:
    """Without a fake score that follows, matching is mode seeking: far from what DMD reaches, modes die."""
    stuck = replace(BASE, iterations=250, critic_lr=1e-7, generator_lr=1e-3)
    found = quality(Variant("critic frozen", stuck), start)
    assert found.distance > 0.9 * before.distance
    assert found.modes > 2 * before.modes
