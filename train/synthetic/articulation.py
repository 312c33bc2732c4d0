"""How the mouth moves from sound to sound: blended targets, closures that are always reached, loudness and pace. Called
by synthetic/motion.

Each sound pulls the mouth towards its shape, from a little before it begins until a little after it ends; what is
drawn is the mean of all pulls (after Cohen and Massaro's dominance functions, 1993, with ends that are exactly zero).
Nothing looks further ahead than LOOK_AHEAD_S, because a streaming model hears no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import lfilter

from train.synthetic.phonemes import SAMPLE_RATE, Phoneme, Samples
from train.synthetic.visemes import MOUTH, Array, Closures, Segments, closures, segments

LOOK_AHEAD_S = 0.12
"""A mouth at time t depends on nothing that begins later than t + this."""
RELEASE_S = 0.15
"""So long after the last sound the mouth is exactly at rest."""

_RATE = 100
_STEPS_PER_FRAME = 4
_ANTICIPATION_S, _REST_RISE_S = 0.075, 0.12
_CARRY_S, _REST_CARRY_S = 0.10, 0.03
_INSIDE_S = 0.03
_RAMP_S = 0.05
_QUICK = np.hanning(7)[1:-1] / np.hanning(7).sum()
_SLOW = np.hanning(9)[1:-1] / np.hanning(9).sum()
"""Hann windows 60 and 80 ms long between their zeros: smoothing for fast and for slow speech."""
_MARGIN = 12
"""Steps before the first and after the last frame, so that no filter sees an end."""
_BLOCK = 512
_SHORT_S, _LONG_S = 0.055, 0.10
"""Mean lengths of a phoneme in very fast and in calm speech."""
_QUIETEST = 0.72
_FORGET_S = 4.0
_JAW_FOLLOWS = 0.75
"""How much of a closure is done by the jaw: lips are faster and close over a jaw still on its way."""


def mouth_track(phonemes: Sequence[Phoneme], samples: Samples, frame_count: int) -> Array:
    """Columns MOUTH of `frame_count` frames at 25 fps, [F, M]; zero where nobody speaks.

    samples: float32 mono at 16 kHz, heard only for its loudness. Raises InputError(phonemes).
    """
    margin = _MARGIN
    time_s = np.arange(-margin, frame_count * _STEPS_PER_FRAME + margin) / _RATE
    pace = _pace(phonemes, time_s)
    gain = _loudness_gain(samples, len(time_s), margin) * (0.9 + 0.1 * pace)
    blended = _blend(segments(phonemes), time_s)
    quick, slow = _smooth(blended, _QUICK), _smooth(blended, _SLOW)
    share = _smooth(pace[:, None], _SLOW)
    spoken = (quick + share * (slow - quick)) * _smooth(gain[:, None], _SLOW)
    track = _closed(closures(phonemes), spoken, time_s)
    return track[margin : len(time_s) - margin : _STEPS_PER_FRAME]


def _ease(x: Array) -> Array:
    """0 below 0, 1 above 1, a smooth step between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _blend(parts: Segments, time_s: Array) -> Array:
    """[G, M] at all times, block by block, so that the cost is linear in the length."""
    blocks = [_blend_block(parts, time_s[at : at + _BLOCK]) for at in range(0, len(time_s), _BLOCK)]
    return np.concatenate(blocks)


def _blend_block(parts: Segments, time_s: Array) -> Array:
    near = (parts.start_s - _ANTICIPATION_S < time_s[-1]) & (parts.end_s + _CARRY_S > time_s[0])
    start_s, end_s, rest = parts.start_s[near, None], parts.end_s[near, None], parts.is_rest[near, None]
    ahead = np.where(rest, 0.0, _ANTICIPATION_S)
    rise_s = np.where(rest, _REST_RISE_S, _ANTICIPATION_S + _INSIDE_S)
    carry = np.where(rest, _REST_CARRY_S, _CARRY_S)
    pull_NG = _ease((time_s - start_s + ahead) / rise_s) * _ease((end_s + carry - time_s) / (carry + _INSIDE_S))
    grips_NM = parts.grips_NM[near]
    weight_GM = pull_NG.T @ grips_NM
    return (pull_NG.T @ (grips_NM * parts.targets_NM[near])) / np.maximum(weight_GM, 1e-9)


def _closed(shut: Closures, spoken: Array, time_s: Array) -> Array:
    """The spoken track with lips brought together at every closure, for at least one video frame each."""
    if not len(shut.start_s):
        return spoken
    free_G, reached_GM = np.ones(len(time_s)), np.zeros_like(spoken)
    total_G = np.zeros(len(time_s))
    opens_s = np.minimum(_RAMP_S, np.append(shut.start_s[1:], np.inf) - shut.end_s)
    closes_s = np.append(_RAMP_S, np.minimum(_RAMP_S, shut.start_s[1:] - shut.end_s[:-1]))
    for start_s, end_s, target, open_s, close_s in zip(
        shut.start_s, shut.end_s, shut.targets_NM, opens_s, closes_s, strict=True
    ):
        first, last = np.searchsorted(time_s, (start_s - close_s - 1e-6, end_s + open_s + 1e-6))
        span = slice(int(first), int(last))
        # The hair's breadth keeps a frame that lies exactly on the edge of a closure inside it.
        held = _ease((time_s[span] - start_s + 1e-7) / close_s + 1) * _ease((end_s + 1e-7 - time_s[span]) / open_s + 1)
        free_G[span] *= 1 - held
        total_G[span] += held
        reached_GM[span] += held[:, None] * target
    reached_GM /= np.maximum(total_G, 1e-9)[:, None]
    hold_GM = np.repeat((1 - free_G)[:, None], len(MOUTH), axis=1)
    hold_GM[:, MOUTH.index("jaw")] *= _JAW_FOLLOWS
    return spoken + hold_GM * (reached_GM - spoken)


def _smooth(track: Array, kernel: Array) -> Array:
    """Same length; the ends count as held."""
    half = len(kernel) // 2
    padded = np.pad(track, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=0)
    return windows @ kernel


def _pace(phonemes: Sequence[Phoneme], time_s: Array) -> Array:
    """0 for very fast to 1 for calm speech, by the phonemes that have ended."""
    if not phonemes:
        return np.ones(len(time_s))
    length_s = np.array([min(phoneme.end_s - phoneme.start_s, 0.2) for phoneme in phonemes])
    mean_s = lfilter([0.15], [1, -0.85], length_s - _LONG_S) + _LONG_S
    ended = np.searchsorted([phoneme.end_s for phoneme in phonemes], time_s)
    return np.clip((np.append(_LONG_S, mean_s)[ended] - _SHORT_S) / (_LONG_S - _SHORT_S), 0.0, 1.0)


def _loudness_gain(samples: Samples, count: int, margin: int) -> Array:
    """How wide the mouth opens by the loudness around now, relative to the loudest lately: _QUIETEST to 1."""
    hop = SAMPLE_RATE // _RATE
    heard = np.zeros(count * hop, np.float32)
    kept = samples[: (count - margin) * hop]
    heard[margin * hop : margin * hop + len(kept)] = kept
    power = uniform_filter1d(np.square(heard).reshape(count, hop).mean(1), 5, mode="constant")
    # Loudest of the 120 ms before and the 40 ms after: a vowel's loudness counts for the consonants beside it.
    level = np.log(maximum_filter1d(power, 17, origin=4, mode="constant") + 1e-8)
    fade = np.arange(count) / (_RATE * _FORGET_S)
    loudest = np.maximum.accumulate(level + fade) - fade
    return np.maximum(_QUIETEST, np.exp(0.125 * (level - loudest)))
