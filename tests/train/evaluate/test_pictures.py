"""Measures of pictures, each against an answer that is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from train.evaluate import pictures


def noise(count: int = 4, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def plain(colour: tuple[int, int, int], count: int = 2, side: int = 32) -> np.ndarray:
    return np.tile(np.array(colour, np.uint8), (count, side, side, 1))


def tensor(frames_FHWC: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(frames_FHWC))


def test_sharpness_of_a_checkerboard_and_of_nothing() -> None:
    board = np.indices((16, 16)).sum(axis=0) % 2 * 100
    frames = np.repeat(board[None, ..., None], 3, axis=-1).astype(np.uint8)
    # The Laplacian is +400 or -400 everywhere.
    assert pictures.sharpness(tensor(frames)) == pytest.approx([160000], rel=1e-4)
    assert pictures.sharpness(tensor(plain((9, 99, 199)))) == pytest.approx([0, 0], abs=1e-3)


def test_blur_lowers_sharpness() -> None:
    frames = noise()
    blurred = ((frames.astype(int) + np.roll(frames, 1, axis=1)) // 2).astype(np.uint8)
    assert (pictures.sharpness(tensor(blurred)) < 0.6 * pictures.sharpness(tensor(frames))).all()


@pytest.mark.parametrize(
    ("rgb", "lab"), [((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.2))]
)
def test_mean_colour(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert pictures.mean_lab(tensor(plain(rgb)))[0] == pytest.approx(lab, abs=0.1)


def test_palette_is_a_distribution_that_ignores_where_colours_are() -> None:
    half = np.concatenate((plain((200, 40, 40), 1), plain((40, 40, 200), 1)), axis=2)
    palettes = pictures.palette(tensor(np.concatenate((half, half[:, :, ::-1]))))
    assert palettes.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert pictures.palette_distance(palettes, palettes[0]) == pytest.approx([0, 0], abs=1e-5)


def test_palette_distance_is_the_part_that_differs() -> None:
    white, black = plain((255, 255, 255), 1), plain((0, 0, 0), 1)
    both = np.concatenate((white, black), axis=2)[:, :, 16:48]
    palettes = pictures.palette(tensor(np.concatenate((white, both, black))))
    assert pictures.palette_distance(palettes, palettes[2]) == pytest.approx([1, 0.5, 0])


def test_psnr_of_a_known_error() -> None:
    grey = plain((100, 100, 100))
    assert pictures.psnr(grey + 5, grey) == pytest.approx(20 * math.log10(255 / 5))
    assert pictures.psnr(grey, grey) == math.inf


def test_ssim_is_one_for_the_same_and_near_zero_for_noise() -> None:
    frames = noise()
    assert pictures.ssim(frames, frames) == pytest.approx(1)
    assert abs(pictures.ssim(frames, noise(seed=1))) < 0.1
    # Brightness alone: (2 x y + c1) / (x^2 + y^2 + c1).
    assert pictures.ssim(plain((110, 110, 110)), plain((100, 100, 100))) == pytest.approx(
        (2 * 110 * 100 + 6.5025) / (110**2 + 100**2 + 6.5025), abs=1e-6
    )


def test_changes_join_at_chunks() -> None:
    frames = noise(6)
    film = tensor(frames)
    whole = pictures.changes(film, None)
    parts = np.concatenate((pictures.changes(film[:2], None), pictures.changes(film[2:], film[1])))
    assert math.isnan(whole[0])
    np.testing.assert_allclose(whole, parts)
    assert pictures.changes(tensor(plain((10, 10, 10))), tensor(plain((13, 13, 13)))[0]) == pytest.approx([3, 0])


def test_changes_of_still_pixels_alone() -> None:
    frames = plain((10, 10, 10), 3)
    frames[:, :, 16:] = noise(3)[:, :, 16:]
    still = pictures.still_pixels(tensor(frames))
    assert still[:, :16].all()
    assert still[:, 16:].mean() < 0.01
    film = tensor(frames)
    assert pictures.changes(film, film[0], still)[1:] == pytest.approx([0, 0], abs=0.1)
    assert np.isnan(pictures.changes(film, film[0], np.zeros((32, 32), bool))).all()


def test_seams_are_found_where_chunks_meet() -> None:
    changes = np.ones(28 * 5)
    changes[0] = math.nan
    assert pictures.seam_ratio(changes, 28) == pytest.approx(1)
    changes[28::28] = 1.5
    assert pictures.seam_ratio(changes, 28) == pytest.approx(1.5)
    changes = np.ones(28 * 5)
    changes[27::28] = 9
    assert pictures.seam_ratio(changes, 28) < 1, "the frame before the border is inside"
    assert math.isnan(pictures.seam_ratio(np.array([math.nan, 1, 1]), 28))
