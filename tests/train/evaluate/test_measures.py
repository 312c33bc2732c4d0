"""Measures over time, each against an answer that is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.evaluate import measures

FPS = 25


def curve(count: int = 300, seed: int = 0) -> np.ndarray:
    """A mouth's: slow, positive, never twice the same."""
    noise = np.random.default_rng(seed).standard_normal(count + 8)
    return np.abs(np.convolve(noise, np.hanning(9), mode="valid"))


def late(curve_F: np.ndarray, frames: int) -> np.ndarray:
    """The same, `frames` later, edges held."""
    return curve_F[np.clip(np.arange(len(curve_F)) - frames, 0, len(curve_F) - 1)]


@given(st.integers(-5, 5), st.floats(0.1, 10), st.floats(-3, 3))
def test_lag_and_correlation_are_found_whatever_the_scale(lag: int, scale: float, offset: float) -> None:
    truth = curve()
    fit = measures.best_lag([measures.lag_curve(scale * late(truth, lag) + offset, truth)])
    assert fit.lag_frames == lag
    assert fit.correlation == pytest.approx(1, abs=1e-9)


def test_lag_is_that_of_all_films_together() -> None:
    films = [measures.lag_curve(late(curve(seed=seed), 2), curve(seed=seed)) for seed in range(3)]
    films.append(measures.lag_curve(late(curve(seed=9), -1), curve(seed=9)))
    assert measures.best_lag(films).lag_frames == 2


def test_equal_correlations_take_the_lag_nearest_to_zero() -> None:
    assert measures.best_lag([np.array([0.5, 0.2, 0.1, 0.5, 0.2])]).lag_frames == 1
    assert measures.best_lag([np.full(11, 0.3)]).lag_frames == 0


def test_correlation_of_unrelated_curves_is_small_and_of_flat_ones_zero() -> None:
    assert abs(measures.correlation(curve(20000, 1), curve(20000, 2))) < 0.05
    assert measures.correlation(np.zeros(10), curve(10)) == 0
    assert measures.correlation(-curve(), curve()) == pytest.approx(-1)


@given(st.floats(0.2, 5), st.floats(-2, 2))
def test_affine_fit_is_undone(scale: float, offset: float) -> None:
    found = measures.fit_affine(curve(), scale * curve() + offset)
    assert found == pytest.approx((scale, offset), abs=1e-9)


def test_a_mouth_that_opens_on_the_wrong_sounds_is_not_turned_round() -> None:
    truth = curve()
    assert measures.fit_affine(-truth, truth) == pytest.approx((0, truth.mean()))


def test_pooled_correlation_forgives_each_characters_own_scale() -> None:
    pairs = [(3 * seed * curve(seed=seed) - seed, curve(seed=seed)) for seed in range(1, 5)]
    assert measures.pooled_correlation(pairs) == pytest.approx(1)
    plain = measures.correlation(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
    assert plain < 0.9


def test_warping_forgives_a_wandering_clock_but_not_another_curve() -> None:
    truth = curve()
    clock = np.arange(len(truth)) + np.round(2 * np.sin(np.arange(len(truth)) / 30)).astype(int)
    wandering = truth[np.clip(clock, 0, len(truth) - 1)]
    assert measures.warped_correlation(wandering, truth) > 0.97 > measures.correlation(wandering, truth)
    assert measures.warped_correlation(truth, truth) == pytest.approx(1)
    assert measures.warped_correlation(curve(seed=5), truth) < 0.9


def test_shut_share_counts_frames_below_a_tenth_of_the_range() -> None:
    share = measures.opening_share(np.array([0.2, 0.25, 0.4, 1.2]), shut=0.2, wide=1.2)
    assert share == pytest.approx([0, 0.05, 0.2, 1])
    assert measures.shut_share(share) == 0.5
    assert math.isnan(measures.shut_share(np.zeros(0)))


def test_quiet_frames_keep_away_from_sound() -> None:
    loudness = np.zeros(40)
    loudness[20] = 1
    quiet = measures.quiet_frames(loudness, hold=5)
    assert np.flatnonzero(~quiet).tolist() == list(range(15, 26))
    loudness[:] = 0.005
    loudness[20] = 1
    assert measures.quiet_frames(loudness, hold=5).sum() == 29, "46 dB below the loudest is quiet"
    loudness[:] = 0.05
    loudness[20] = 1
    assert not measures.quiet_frames(loudness, hold=5).any(), "26 dB below is not"


def test_blinks_are_counted_once() -> None:
    eyes = np.full(50 * FPS, 0.05)
    for start in (100, 300, 301, 700):
        eyes[start : start + 4] = 0.9
    eyes[900:906] = (0.6, 0.45, 0.6, 0.45, 0.6, 0.2)
    assert measures.count_blinks(eyes) == 4
    assert measures.blinks_per_minute(eyes, FPS) == pytest.approx(4.8)
    assert measures.count_blinks(np.full(100, 0.9)) == 0, "eyes that never open do not blink"


def test_distance_is_zero_for_the_same_and_sqrt_two_for_strangers() -> None:
    scale = np.arange(1, 1001.0)
    people = np.random.default_rng(0).standard_normal((3, 1000)) * scale
    away = measures.distances(people, people[0], scale)
    assert away == pytest.approx([0, math.sqrt(2), math.sqrt(2)], rel=0.1)
    assert measures.similarity(away) == pytest.approx([1, 0, 0], abs=0.1)


def test_windows_are_means_and_drop_the_rest() -> None:
    values = np.arange(10.0)
    assert measures.windows(values, 4).tolist() == [1.5, 5.5]
    assert measures.windows(np.stack((values, -values), axis=1), 5).tolist() == [[2, -2], [7, -7]]


def test_a_trend_is_not_moved_by_one_window() -> None:
    steady = np.array([7.0, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    assert measures.trend(steady, first=1) == pytest.approx(0)
    assert measures.trend(np.linspace(2, 1, 11)) == pytest.approx(0.5)
    steady[-1] = 3.0
    assert measures.trend(steady, first=1) < measures.relative_change(steady, first=1) / 1.5
    assert math.isnan(measures.trend(np.array([1.0, 2]), first=1))


def test_relative_change_compares_the_end_with_the_start() -> None:
    assert measures.relative_change(np.array([9, 2.0, 5, 1.9]), first=1) == pytest.approx(0.05)
    assert math.isnan(measures.relative_change(np.array([1.0, 2]), first=1))


def test_a_minute_hides_no_drift_and_forgives_one_window() -> None:
    """A single odd window counts a sixth; a slow loss counts as ever."""
    odd = np.array([9, *[2.0] * 98, 1.7])
    assert measures.relative_change(odd, first=1, span=6) == pytest.approx(0.025)
    worn = np.linspace(1, 0.9, 101)
    assert measures.relative_change(worn, first=1, span=6) == pytest.approx(0.094 / 0.9965, rel=1e-3)
    assert measures.relative_change(np.array([9, 2.0, 4, 1.9]), first=1, span=6) == pytest.approx(0.05), "no overlap"


def test_loudness_of_frames() -> None:
    samples = np.concatenate((np.zeros(640), np.full(640, 0.5), np.full(320, 0.5))).astype(np.float32)
    assert measures.frame_loudness(samples, 640, 4) == pytest.approx([0, 0.5, 0.5 * math.sqrt(0.5), 0])


def test_envelope_hears_speech_and_neither_rumble_nor_hiss() -> None:
    time_s = np.arange(3 * 16000) / 16000
    loud = (np.sin(2 * np.pi * 1.5 * time_s) > 0).astype(float)
    speech = loud * np.sin(2 * np.pi * 1000 * time_s)
    other = (1 - loud) * (np.sin(2 * np.pi * 100 * time_s) + np.sin(2 * np.pi * 6000 * time_s))
    envelope = measures.speech_envelope((speech + other).astype(np.float32), 16000, FPS, 75)
    wanted = loud.reshape(75, 640).mean(axis=1)
    assert measures.correlation(envelope, wanted) > 0.95
