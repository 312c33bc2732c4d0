"""The gain's law: reaches the target slowly, never jumps, does not boost silence, does not depend on pieces."""

from __future__ import annotations

import numpy as np
import pytest

from flashtalk.pipeline.loudness import MAX_GAIN_DB, MAX_STEP_DB, LoudnessGain, gated_loudness, k_weighting, to_lufs

RATE = 16000


def tone(seconds: float, level_db: float, frequency: float = 997.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def test_a_full_scale_tone_is_minus_3_lufs() -> None:
    """BS.1770: a 997 Hz sine of full scale in one channel reads -3.01 LKFS."""
    from scipy.signal import sosfilt

    weighted = sosfilt(k_weighting(RATE), tone(5, 0).astype(np.float64))[RATE:]
    assert to_lufs(float((weighted**2).mean())) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("level_db", [-40, -30, -10, -3])
def test_speech_level_sound_reaches_the_target(level_db: float) -> None:
    gain = LoudnessGain(-23, RATE)
    gain.apply(tone(30, level_db))
    wanted = np.clip(-23 - (level_db - 3.01), -MAX_GAIN_DB, MAX_GAIN_DB)
    assert gain.gain_db == pytest.approx(wanted, abs=0.15)


def test_any_pieces_give_the_same_samples() -> None:
    sound, rng = np.concatenate((tone(2, -40), tone(2, -12), np.zeros(5000, np.float32))), np.random.default_rng(0)
    whole = LoudnessGain(-23, RATE).apply(sound)
    gain, pieces, start = LoudnessGain(-23, RATE), [], 0
    while start < len(sound):
        size = int(rng.integers(1, 4000))
        pieces.append(gain.apply(sound[start : start + size]))
        start += size
    assert np.array_equal(np.concatenate(pieces), whole)
    at_once = LoudnessGain(-23, RATE)
    at_once.apply(sound)
    for name, array in at_once.state().items():
        assert np.array_equal(array, gain.state()[name]), name


def test_the_gain_never_jumps() -> None:
    sound = np.concatenate((tone(3, -45), tone(3, -6), tone(3, -45)))
    out = LoudnessGain(-23, RATE).apply(sound)
    audible = np.abs(sound) > 1e-4
    gain_db = 20 * np.log10(np.abs(out[audible] / sound[audible]))
    per_sample = MAX_STEP_DB / (0.1 * RATE)
    steps = np.abs(np.diff(gain_db)) / np.diff(np.flatnonzero(audible))
    assert steps.max() < per_sample * 1.1


def test_silence_and_faint_noise_are_left_alone() -> None:
    gain = LoudnessGain(-23, RATE)
    noise = (np.random.default_rng(0).standard_normal(10 * RATE) * 1e-5).astype(np.float32)
    assert np.array_equal(gain.apply(np.zeros(RATE, np.float32)), np.zeros(RATE, np.float32))
    assert np.allclose(gain.apply(noise), noise)
    assert gain.gain_db == 0


def test_a_pause_does_not_move_the_gain_much() -> None:
    gain = LoudnessGain(-23, RATE)
    gain.apply(tone(20, -30))
    before = gain.gain_db
    gain.apply((np.random.default_rng(0).standard_normal(20 * RATE) * 1e-3).astype(np.float32))
    assert abs(gain.gain_db - before) < 0.5


def test_state_goes_on() -> None:
    sound = tone(3, -35)
    gain = LoudnessGain(-23, RATE)
    gain.apply(sound[:20001])
    other = LoudnessGain(-23, RATE)
    other.restore(gain.state())
    assert np.array_equal(gain.apply(sound[20001:]), other.apply(sound[20001:]))


def test_relative_gate_ignores_quiet_blocks() -> None:
    counts = np.zeros(800)
    counts[500], counts[100] = 10, 90
    assert gated_loudness(counts) == pytest.approx(-70 + 50.05, abs=0.01)
