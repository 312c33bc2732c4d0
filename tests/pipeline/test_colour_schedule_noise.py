"""Colour match, schedules and noise: formulas against their definitions."""

from __future__ import annotations

import pytest
import torch

from flashtalk.pipeline.colour import lab_to_rgb, match_colour, measure, rgb_to_lab
from flashtalk.pipeline.noise import SeededNoise
from flashtalk.pipeline.schedule import uniform_schedule

CPU = torch.device("cpu")


def test_lab_of_known_colours() -> None:
    """White, mid grey and the primaries, from the CIE definitions (D65)."""
    rgb = torch.tensor([[1.0, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 1]]).T[:, :, None, None]
    wanted = torch.tensor([[100, 0, 0], [53.389, 0, 0], [53.24, 80.09, 67.2], [32.3, 79.19, -107.86]]).T
    torch.testing.assert_close(rgb_to_lab(rgb)[..., 0, 0], wanted, rtol=0, atol=0.05)


def test_lab_there_and_back() -> None:
    rgb = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, rtol=0, atol=1e-4)


def test_matched_frames_have_the_reference_statistics() -> None:
    reference = measure(torch.rand(3, 1, 32, 32) * 0.6 - 0.3)
    matched = match_colour(torch.rand(3, 2, 32, 32) * 0.8 - 0.4, reference, 1.0)
    for frame in matched.unbind(1):
        got = measure(frame[:, None])
        torch.testing.assert_close(got.mean, reference.mean, rtol=0, atol=0.5)
        torch.testing.assert_close(got.std, reference.std, rtol=0.05, atol=0.3)


def test_strength_zero_changes_nothing_and_one_colour_is_no_division_by_zero() -> None:
    pixels = torch.rand(3, 2, 8, 8) * 2 - 1
    reference = measure(torch.zeros(3, 1, 8, 8))
    assert match_colour(pixels, reference, 0) is pixels
    assert match_colour(torch.full((3, 1, 8, 8), -1.0), reference, 1.0).isfinite().all()


def test_schedules_of_the_release() -> None:
    assert uniform_schedule(4, 5.0) == pytest.approx((1, 0.9375, 5 / 6, 0.625, 0))
    assert uniform_schedule(2, 5.0) == pytest.approx((1, 5 / 6, 0))
    assert uniform_schedule(4, 1.0) == pytest.approx((1, 0.75, 0.5, 0.25, 0))


def test_noise_is_a_function_of_its_place() -> None:
    noise, again = SeededNoise(7, CPU), SeededNoise(7, CPU)
    again(3, 1, (2, 2))
    assert torch.equal(noise(5, 2, (4, 4)), again(5, 2, (4, 4)))
    draws = [noise(c, d, (1000,)) for c, d in ((0, 0), (0, 1), (1, 0), (1, 1))] + [SeededNoise(8, CPU)(0, 0, (1000,))]
    correlation = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
    assert correlation.abs().max() < 0.15
