"""Phoneme times of recorded speech: a synthesiser's utterance of the same text is warped onto the recording. Called by
prompts. Dynamic time warping (Sakoe and Chiba, 1978) on mel cepstra, in a band around the diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from train.synthetic.phonemes import SAMPLE_RATE, Phoneme, Samples, Utterance

HOP_S = 0.01
_WINDOW = 400
_HOP = 160
_MELS, _CEPSTRA = 32, 13
_BAND = 0.18
"""Half the width of the band, as a share of the recording's length; at least 0.4 s."""
_FLOOR_DB = 45.0
"""Frames this much under the loudest are silence; quieter details than this are noise to the warping."""
_STEP_COST = 0.35
"""Extra cost of a step that holds one of the two still, in units of the mean distance."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """Phonemes with times in the recording, and how well the two matched.

    `confidence` is 1 - distance along the path / distance along that of the same sound played backwards: about 0 for
    other words, 1 for the same recording. `held` is the share of the path in which one of the two stood still for more
    than 0.15 s.
    """

    phonemes: tuple[Phoneme, ...]
    confidence: float
    held: float


def align(recording: Samples, spoken: Utterance) -> Alignment:
    """Carry the phoneme times of `spoken` over to a recording of the same words (both at 16 kHz)."""
    first_s, last_s = speech_bounds(recording)
    own_first_s, own_last_s = speech_bounds(spoken.samples)
    there_FC = cepstra(_cut(recording, first_s, last_s))
    here_FC = cepstra(_cut(spoken.samples, own_first_s, own_last_s))
    here, there, cost = warp(here_FC, there_FC)
    *_, unrelated = warp(_backwards(here_FC), there_FC)
    times_s: Array = np.arange(len(here_FC), dtype=np.float64) * HOP_S + own_first_s
    mapped_s = _mapped(here, there, len(here_FC)) * HOP_S + first_s
    phonemes = tuple(_moved(phoneme, times_s, mapped_s) for phoneme in spoken.phonemes)
    kept = tuple(phoneme for phoneme in phonemes if phoneme.end_s - phoneme.start_s > HOP_S / 2)
    return Alignment(kept, 1 - cost / max(unrelated, 1e-9), _held(here, there))


def speech_bounds(samples: Samples) -> tuple[float, float]:
    """(start, end) of what is not silence, in seconds; the whole sound when it is shorter than 0.1 s."""
    power = _power(samples).sum(1)
    loud = np.flatnonzero(10 * np.log10(power + 1e-10) > 10 * np.log10(power.max() + 1e-10) - _FLOOR_DB)
    if len(loud) < 10:
        return 0.0, len(samples) / SAMPLE_RATE
    return float(loud[0] * HOP_S), float(min(loud[-1] * HOP_S, len(samples) / SAMPLE_RATE))


def cepstra(samples: Samples) -> Array:
    """Mel cepstra with their slopes [F, 2 * 13], one a hop of 10 ms, mean 0 and deviation 1 over the utterance."""
    mels_FM = np.log(_power(samples) @ _mel_filters() + 1e-10)
    mels_FM = np.maximum(mels_FM, mels_FM.max() - _FLOOR_DB / 10 * np.log(10))
    found_FC = dct(mels_FM, norm="ortho", axis=1)[:, :_CEPSTRA]
    slopes_FC = np.gradient(found_FC, axis=0) * 2 if len(found_FC) > 1 else np.zeros_like(found_FC)
    both_FC = np.concatenate([found_FC, slopes_FC], 1)
    deviation_C = both_FC.std(0) + 1e-6
    return (
        (both_FC - both_FC.mean(0)) / deviation_C * np.linspace(1.5, 0.6, _CEPSTRA).repeat(2).reshape(-1, 2).T.ravel()
    )


def _backwards(here_FC: Array) -> Array:
    """The cepstra of the sound played backwards: slopes change their sign."""
    return here_FC[::-1] * np.repeat([1.0, -1.0], _CEPSTRA)


def warp(here_FC: Array, there_FC: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], float]:
    """Path (frames of `here`, frames of `there`) and the mean distance along it."""
    squares = (here_FC**2).sum(1)[:, None] + (there_FC**2).sum(1)[None] - 2 * here_FC @ there_FC.T
    distance = np.sqrt(np.maximum(squares, 0))
    rows, columns = distance.shape
    slope = columns / rows
    width = max(0.4 / HOP_S, _BAND * columns, slope)
    inside = np.abs(np.arange(columns)[None] - (np.arange(rows)[:, None] + 0.5) * slope) <= width
    mean = float(distance[inside].mean())
    distance = np.where(inside, distance, np.inf)
    here, there = _backtracked(_steps(distance, _STEP_COST * mean))
    return here, there, float(distance[here, there].mean())


def _steps(distance: Array, extra: float) -> NDArray[np.int8]:
    """Best last step into each cell (0 both, 1 `here` alone, 2 `there` alone), computed by anti-diagonals."""
    rows, columns = distance.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    step = np.zeros((rows, columns), np.int8)
    for diagonal in range(rows + columns - 1):
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        column = diagonal - row
        before = np.stack([total[row, column], total[row, column + 1] + extra, total[row + 1, column] + extra])
        best = before.argmin(0)
        step[row, column] = best
        total[row + 1, column + 1] = before[best, np.arange(len(row))] + distance[row, column]
    return step


def _backtracked(step: NDArray[np.int8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    row, column = step.shape[0] - 1, step.shape[1] - 1
    path = [(row, column)]
    while row > 0 or column > 0:
        kind = step[row, column] if row > 0 and column > 0 else 1 if row > 0 else 2
        row, column = row - int(kind != 2), column - int(kind != 1)
        path.append((row, column))
    here, there = np.array(path[::-1]).T
    return here, there


def _mapped(here: NDArray[np.intp], there: NDArray[np.intp], frames: int) -> Array:
    """Where each frame of `here` falls in `there`: the mean of the frames it is matched with, smoothed a little."""
    sums = np.bincount(here, there, frames) / np.bincount(here, minlength=frames)
    smooth = np.convolve(np.pad(sums, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    return np.maximum.accumulate(smooth)


def _moved(phoneme: Phoneme, times_s: Array, mapped_s: Array) -> Phoneme:
    """Times beyond the speech's bounds keep their distance from them."""
    start_s, end_s = (
        float(np.interp(time_s, times_s, mapped_s)) + min(0.0, time_s - times_s[0]) + max(0.0, time_s - times_s[-1])
        for time_s in (phoneme.start_s, phoneme.end_s)
    )
    return replace(phoneme, start_s=max(0.0, start_s), end_s=max(0.0, end_s))


def _held(here: NDArray[np.intp], there: NDArray[np.intp]) -> float:
    """Share of the path that lies in long steps of one side alone."""
    moving = (np.diff(here) > 0) & (np.diff(there) > 0)
    runs = np.diff(np.flatnonzero(np.concatenate([[True], moving, [True]]))) - 1
    return float(runs[runs > 0.15 / HOP_S].sum() / max(1, len(moving)))


def _cut(samples: Samples, start_s: float, end_s: float) -> Samples:
    return samples[
        round(start_s * SAMPLE_RATE) : max(round(start_s * SAMPLE_RATE) + _WINDOW, round(end_s * SAMPLE_RATE))
    ]


def _power(samples: Samples) -> Array:
    """Power spectra [F, 257], windows of 25 ms around each multiple of 10 ms."""
    padded = np.pad(samples.astype(np.float64), (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][: len(samples) // _HOP + 1]
    return np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), 512)) ** 2


@cache
def _mel_filters() -> Array:
    """Triangles [257, M] evenly spaced in mel from 60 to 7600 Hz."""
    edges_mel = np.linspace(_mel(60.0), _mel(7600.0), _MELS + 2)
    bins_mel = _mel(np.linspace(0, SAMPLE_RATE / 2, 257))[:, None]
    rise = (bins_mel - edges_mel[:-2]) / (edges_mel[1:-1] - edges_mel[:-2])
    fall = (edges_mel[2:] - bins_mel) / (edges_mel[2:] - edges_mel[1:-1])
    return np.maximum(0, np.minimum(rise, fall))


def _mel(hz: float | Array) -> Array:
    return 2595 * np.log10(1 + np.asarray(hz, np.float64) / 700)
