"""The drift meter: the portrait itself is no drift, a nod hardly any, and each kind of decay moves its own curve."""

from __future__ import annotations

import numpy as np
import pytest

from flashtalk.serving.jobs.drift import DriftMeter, Look
from tests.media.corpus_image import draw_face


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 12, (256, 256, 3))
    return (draw_face(256, 256, (128, 128), 120).astype(int) + noise).clip(0, 255).astype(np.uint8)


def look(portrait: np.ndarray, picture: np.ndarray) -> Look:
    return DriftMeter(portrait).look(np.stack([picture] * 3))


def test_the_portrait_is_no_drift(portrait: np.ndarray) -> None:
    assert look(portrait, portrait) == Look(1.0, 1.0, 0.0)


def test_a_nod_is_the_same_person_and_another_face_is_not(portrait: np.ndarray) -> None:
    nod = look(portrait, np.roll(portrait, (6, -5), axis=(0, 1))).likeness
    other = look(portrait, draw_face(256, 256, (150, 100), 60, skin="#604020")).likeness
    assert nod > 0.9
    assert other < 0.7


def test_blur_costs_sharpness(portrait: np.ndarray) -> None:
    soft = portrait.astype(float)
    for axis in (0, 1):
        soft = (np.roll(soft, 1, axis) + soft + np.roll(soft, -1, axis)) / 3
    seen = look(portrait, soft.astype(np.uint8))
    assert seen.sharpness < 0.5
    assert seen.colour < 1.5
    assert seen.likeness > 0.98


def test_a_tint_is_a_colour_shift(portrait: np.ndarray) -> None:
    tinted = (portrait * np.array((1.0, 0.85, 0.85))).astype(np.uint8)
    seen = look(portrait, tinted)
    assert seen.colour > 5
    assert seen.likeness > 0.97


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (720, 416)])
def test_every_size_has_a_look(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 90, np.uint8)
    assert np.isfinite(list(vars(look(flat, flat)).values())).all()
