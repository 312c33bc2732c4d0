from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.experiments.drift import (
    FRAMES,
    MOTION,
    Errors,
    World,
    conditions,
    distilled,
    draw_batch,
    pretrain,
    roller,
    stream_errors,
)
from train.experiments.toy import ToyNetwork
from train.experiments.toy_dmd import DmdSettings

WORLD = World(batch=128, width=96)
ITERATIONS = 400


@pytest.fixture(scope="module")
def teacher() -> ToyNetwork:
    return pretrain(WORLD, 1500, 0)


def errors(teacher: ToyNetwork, settings: DmdSettings) -> Errors:
    return stream_errors(WORLD, distilled(WORLD, teacher, settings, 0, 3, "uniform"), 8)


def test_a_stream_of_the_truth_has_no_error() -> None:
    """A student that turns its motion frame as the sound says and copies the reference errs by rounding only."""

    class Perfect(ToyNetwork):
        def forward(self, noisy_BCT: Tensor, sigma_B: Tensor, condition_BD: Tensor) -> Tensor:
            start = torch.atan2(noisy_BCT[:, 1, MOTION - 1], noisy_BCT[:, 0, MOTION - 1])
            phase = start[:, None] + condition_BD[:, 2:]
            identity = condition_BD[:, :2, None].expand(-1, -1, FRAMES)
            clean = torch.cat((phase.cos()[:, None], phase.sin()[:, None], identity), dim=1)
            return (noisy_BCT - clean) / sigma_B[:, None, None]

    found = stream_errors(WORLD, Perfect(4, FRAMES, 2 + FRAMES, 8), 6, count=32)
    assert max(found.phase + found.identity + found.radius) < 1e-4


def test_rollouts_begin_at_real_motion_and_go_on_from_their_own(teacher: ToyNetwork) -> None:
    first = roller(WORLD, 1, 1, "fixed")(teacher, 0, "generator")
    later = roller(WORLD, 1, 3, "fixed")(teacher, 0, "generator")
    assert (first.motion_BCM[:, :2].norm(dim=1) - 1).abs().max() < 1e-5, "real motion lies on the circle"
    assert (later.motion_BCM[:, :2].norm(dim=1) - 1).abs().max() > 1e-3, "its own does not quite"
    assert first.sample_BCT.requires_grad
    assert not later.motion_BCM.requires_grad
    assert later.sample_BCT[:, :, :MOTION].equal(later.motion_BCM)


def test_conditions_turn_from_the_last_motion_frame() -> None:
    batch = draw_batch(WORLD, torch.Generator().manual_seed(1), 5)
    told = conditions(batch.reference_B2, batch.turns_BF)
    assert told[:, 2 + MOTION - 1].abs().max() == 0
    torch.testing.assert_close(told[:, 2 + MOTION], batch.turns_BF[:, MOTION])


def test_noise_on_the_real_score_s_motion_alone_breaks_the_seam(teacher: ToyNetwork) -> None:
    """After clean SFT, a noised motion for the real score only: phase and identity lost within a few chunks."""
    clean = errors(teacher, DmdSettings(ITERATIONS, generator_lr=5e-4, critic_lr=2e-3, average=0.9))
    noisy = DmdSettings(ITERATIONS, generator_lr=5e-4, critic_lr=2e-3, average=0.9, real_motion="same_t")
    found = errors(teacher, noisy)
    assert found.phase[0] > 1.5 * clean.phase[0]
    assert found.identity[4] > 1.5 * clean.identity[4]
