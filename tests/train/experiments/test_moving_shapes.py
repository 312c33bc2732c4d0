"""Little films in little time: measures of real ones, rollouts, and what DMD does to few-step films."""

from __future__ import annotations

import pytest
import torch

from train.experiments.moving_shapes import (
    CONTRAST,
    GLIDE_PX,
    MOTION,
    Discs,
    Errors,
    Scale,
    distilled,
    draw_batch,
    next_condition,
    pretrain,
    roller,
    see,
    sliced_distance,
    stream_errors,
)
from train.experiments.toy import ToyNetwork

SCALE = Scale(batch=96, width=192, pretraining=1000, iterations=350, chunks=3)


@pytest.fixture(scope="module")
def teacher() -> ToyNetwork:
    return pretrain(SCALE, 0)


@pytest.fixture(scope="module")
def before(teacher: ToyNetwork) -> Errors:
    return stream_errors(teacher, SCALE.chunks)


def test_discs_are_seen_where_they_were_drawn() -> None:
    column, row = torch.tensor([[0.2, 4.0, 7.9]]), torch.tensor([[-2.0, 0.0, 1.5]])
    pictures = Discs(column, row, torch.tensor([[0.6, -0.8]])).pictures()
    assert pictures.abs().max() <= CONTRAST
    seen, left = see(pictures)
    torch.testing.assert_close(seen.column_BT, column, atol=0.1, rtol=0)
    torch.testing.assert_close(seen.row_BT, row, atol=0.25, rtol=0)
    torch.testing.assert_close(seen.colour_B2, torch.tensor([[0.6, -0.8]]), atol=1e-5, rtol=0)
    assert left.max() < 0.02
    around = Discs(column + 8.0, row, seen.colour_B2).pictures()
    torch.testing.assert_close(around, pictures, atol=1e-4, rtol=0)
    both = 0.5 * (pictures + Discs(column + 3.0, row, seen.colour_B2).pictures())
    assert see(both)[1].min() > 0.15, "two half discs are no disc"


def test_other_real_films_are_the_noise_floor() -> None:
    floor = stream_errors(None, 5)
    assert max(floor.blurred) < 0.01
    assert max(floor.colour) < 1e-3
    assert min(floor.height) > 0.99
    assert max(floor.glide) < 0.4
    still = draw_batch(torch.Generator().manual_seed(1), 512).clean_BCT[:, :, MOTION:].flatten(1)
    assert max(floor.chunk) < 0.1 < sliced_distance(still, 1.5 * still)


def test_rollouts_begin_at_real_motion_and_go_on_from_their_own(teacher: ToyNetwork) -> None:
    first, later = (roller(64, 1, most, "fixed")(teacher, 0, "generator") for most in (1, 3))
    assert see(first.motion_BCM)[1].max() < 0.02, "real discs"
    assert see(later.motion_BCM)[1].max() > 0.02, "its own are not quite"
    assert first.sample_BCT.requires_grad
    assert not later.motion_BCM.requires_grad
    assert later.sample_BCT[:, :, :MOTION].equal(later.motion_BCM)


def test_sound_goes_on_where_the_motion_frames_are() -> None:
    batch = draw_batch(torch.Generator().manual_seed(1), 5)
    told = next_condition(torch.Generator().manual_seed(2), batch.condition)
    assert told[:, :2].equal(batch.reference_B2)
    assert told[:, 2 : 2 + MOTION].equal(batch.discs.row_BT[:, -MOTION:])
    speeds = batch.discs.column_BT[:, MOTION + 1 :] - batch.discs.column_BT[:, MOTION:-1]
    assert torch.remainder(speeds + 4, 8).sub(4).abs().max() <= GLIDE_PX + 1e-5


def test_dmd_sharpens_and_keeps_every_way(teacher: ToyNetwork, before: Errors) -> None:
    """Measured: .89 of the distance before it, .92 of the blur, ways as far from the data's as before."""
    found = stream_errors(distilled(SCALE, teacher, 0, 1, "fixed"), SCALE.chunks)
    assert found.chunk[0] < 0.94 * before.chunk[0]
    assert found.blurred[0] < 0.96 * before.blurred[0]
    assert found.glide[0] < before.glide[0] + 0.25
    assert min(found.height) > 0.9
