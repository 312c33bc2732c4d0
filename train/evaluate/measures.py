"""Measures of curves over time: mouth against truth, silence, blinks, identity, drift. Pure functions on numpy arrays.

Called by evaluate/scores; every array suffix is that of flashtalk/types.py (F frames).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLAT = 1e-6
"""A curve that moves less than this has no shape to compare."""


@dataclass(frozen=True)
class LagFit:
    """How well two curves agree when one is moved by `lag_frames` (positive: what was measured comes late)."""

    correlation: float
    lag_frames: int


def correlation(a_F: np.ndarray, b_F: np.ndarray) -> float:
    """Pearson's correlation, -1..1; 0 if either curve is flat: who never moves agrees with nothing."""
    a, b = a_F - a_F.mean(), b_F - b_F.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > FLAT**2 * len(a) else 0.0


def shifted_pair(measured_F: np.ndarray, truth_F: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """Both curves cut to the frames they share when `measured` comes `lag` frames late."""
    count = len(measured_F)
    start, end = max(0, lag), count + min(0, lag)
    return measured_F[start:end], truth_F[start - lag : end - lag]


def lag_curve(measured_F: np.ndarray, truth_F: np.ndarray, reach: int = 5) -> np.ndarray:
    """Correlations at the lags -reach .. reach."""
    pairs = (shifted_pair(measured_F, truth_F, lag) for lag in range(-reach, reach + 1))
    return np.array([correlation(*pair) for pair in pairs])


def best_lag(curves_KL: Sequence[np.ndarray]) -> LagFit:
    """The lag at which the mean of several `lag_curve`s is highest; the nearest to 0 of equal ones."""
    mean_L = np.mean(curves_KL, axis=0)
    reach = len(mean_L) // 2
    best = max(range(len(mean_L)), key=lambda i: (round(float(mean_L[i]), 9), -abs(i - reach)))
    return LagFit(float(mean_L[best]), best - reach)


def fit_affine(measured_F: np.ndarray, truth_F: np.ndarray) -> tuple[float, float]:
    """(scale >= 0, offset) of the least squares fit truth = scale * measured + offset.

    A negative scale would call a mouth that opens on the wrong sounds a good one, so it becomes 0.
    """
    spread = float(np.var(measured_F))
    covariance = float(np.mean((measured_F - measured_F.mean()) * (truth_F - truth_F.mean())))
    scale = max(0.0, covariance / spread) if spread > FLAT**2 else 0.0
    return scale, float(truth_F.mean() - scale * measured_F.mean())


def pooled_correlation(pairs: Sequence[tuple[np.ndarray, np.ndarray]], lag: int = 0) -> float:
    """Correlation over all characters together, (measured, truth) each, after an affine fit for every character."""
    cut = [shifted_pair(measured_F, truth_F, lag) for measured_F, truth_F in pairs]
    fits = [fit_affine(*pair) for pair in cut]
    fitted = [scale * measured_F + offset for (measured_F, _), (scale, offset) in zip(cut, fits, strict=True)]
    return correlation(np.concatenate(fitted), np.concatenate([truth_F for _, truth_F in cut]))


def warped_correlation(measured_F: np.ndarray, truth_F: np.ndarray, reach: int = 5) -> float:
    """Correlation along the best warp (dynamic time warping) that moves no frame by more than `reach`.

    Forgives small errors of an alignment, not missing movement: curves are brought to zero mean and unit spread first.
    """
    a, b = _standard(measured_F), _standard(truth_F)
    path = _warp(np.abs(a[:, None] - b[None, :]), reach)
    return correlation(a[path[:, 0]], b[path[:, 1]])


def opening_share(opening_F: np.ndarray, shut: float, wide: float) -> np.ndarray:
    """F: how far the mouth is open, 0 at `shut` and 1 at `wide` (readings of a drawn mouth at rest and in speech)."""
    return (opening_F - shut) / max(wide - shut, FLAT)


def shut_share(share_F: np.ndarray, limit: float = 0.1) -> float:
    """Part of the frames in which the mouth is open by less than `limit` of its range; NaN without frames."""
    return float(np.mean(share_F < limit)) if len(share_F) else math.nan


def quiet_frames(loudness_F: np.ndarray, *, limit_db: float = -40.0, hold: int = 5) -> np.ndarray:
    """F booleans: `limit_db` below the loudest and at least `hold` frames away from anything louder.

    A mouth needs time to close and opens before its sound; these frames are beyond both.
    """
    peak = max(float(loudness_F.max(initial=0.0)), 1e-9)
    loud = loudness_F > peak * 10 ** (limit_db / 20)
    spread = np.convolve(loud.astype(int), np.ones(2 * hold + 1, int))[hold : hold + len(loud)]
    return spread == 0


def count_blinks(blink_F: np.ndarray, *, shut: float = 0.5, open_: float = 0.3) -> int:
    """Times the eyes close beyond `shut` after they were open beyond `open_`; flutter around one level counts once."""
    blinks, closed = 0, bool(len(blink_F) and blink_F[0] > shut)
    for value in blink_F:
        if not closed and value > shut:
            blinks, closed = blinks + 1, True
        elif closed and value < open_:
            closed = False
    return blinks


def blinks_per_minute(blink_F: np.ndarray, fps: int) -> float:
    """Blinks by time; NaN without frames."""
    return count_blinks(blink_F) * 60 * fps / len(blink_F) if len(blink_F) else math.nan


def distances(features_KD: np.ndarray, reference_D: np.ndarray, scale_D: np.ndarray) -> np.ndarray:
    """K root mean square distances to the reference, each feature in units of its `scale`."""
    return np.sqrt(np.mean(((features_KD - reference_D) / scale_D) ** 2, axis=-1))


def similarity(distance_K: np.ndarray) -> np.ndarray:
    """K: 1 for the same character, 0 for a stranger: features of unit spread lie sqrt(2) apart by chance."""
    return 1 - distance_K / math.sqrt(2)


def windows(values_FX: np.ndarray, length: int) -> np.ndarray:
    """Means of consecutive windows of `length` frames, K first; what is left over at the end is not counted."""
    count = len(values_FX) // length
    return values_FX[: count * length].reshape(count, length, *values_FX.shape[1:]).mean(axis=1)


def relative_change(curve_K: np.ndarray, first: int = 0, span: int = 1) -> float:
    """|end / start - 1| of a curve over windows, means of `span` from `first` on and of the last `span`: 0 is no drift.

    Fewer where they would overlap; NaN if the curve is too short.
    """
    known_K = curve_K[first:]
    span = min(span, len(known_K) // 2)
    if not span:
        return math.nan
    start = known_K[:span].mean()
    return float(abs(known_K[-span:].mean() / start - 1)) if start else math.inf


def trend(curve_K: np.ndarray, first: int = 0) -> float:
    """The same along the least-squares line through all windows from `first` on: no single window moves it much."""
    if len(curve_K) < first + 2:
        return math.nan
    slope, start = np.polyfit(np.arange(len(curve_K) - first), curve_K[first:], 1)
    return float(abs(slope * (len(curve_K) - first - 1) / start)) if start else math.inf


def frame_loudness(samples_S: np.ndarray, samples_per_frame: int, frame_count: int) -> np.ndarray:
    """F: root mean square of each frame's sound; silence after its end."""
    framed = np.zeros((frame_count, samples_per_frame), np.float32)
    part = samples_S[: framed.size]
    framed.reshape(-1)[: len(part)] = part
    return np.sqrt(np.mean(framed.astype(np.float64) ** 2, axis=1))


def speech_envelope(
    samples_S: np.ndarray, sample_rate: int, fps: int, frame_count: int, band_hz: tuple[float, float] = (300, 3400)
) -> np.ndarray:
    """F: loudness of the band in which speech lies, as its cube root (near to how loud it sounds)."""
    per_frame = sample_rate // fps
    spectrum = np.fft.rfft(samples_S, n=max(len(samples_S), 1))
    frequency = np.fft.rfftfreq(max(len(samples_S), 1), 1 / sample_rate)
    spectrum[(frequency < band_hz[0]) | (frequency > band_hz[1])] = 0
    band = np.fft.irfft(spectrum, n=max(len(samples_S), 1))[: len(samples_S)]
    return np.cbrt(frame_loudness(band, per_frame, frame_count))


def _standard(curve_F: np.ndarray) -> np.ndarray:
    return (curve_F - curve_F.mean()) / max(float(curve_F.std()), FLAT)


def _warp(cost_FF: np.ndarray, reach: int) -> np.ndarray:
    """The cheapest monotonous path through a band of a square of costs, as rows (i, j)."""
    count = len(cost_FF)
    total = np.full((count + 1, count + 1), np.inf)
    total[0, 0] = 0
    for i in range(count):
        for j in range(max(0, i - reach), min(count, i + reach + 1)):
            total[i + 1, j + 1] = cost_FF[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i = j = count
    path = []
    while i > 0 and j > 0:
        path.append((i - 1, j - 1))
        steps = ((total[i - 1, j - 1], i - 1, j - 1), (total[i - 1, j], i - 1, j), (total[i, j - 1], i, j - 1))
        _, i, j = min(steps)
    return np.array(path[::-1])
