"""Arithmetic on decoded samples: scale, clean, mix down. Called by media/audio.py for files and by live input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flashtalk.errors import InputError
from flashtalk.media.limits import AudioLimits

Samples = NDArray[np.float32]

MAX_BAD_SHARE = 0.01
"""Share of NaN and infinite samples above which a sound is refused rather than mended."""

_INTEGER_SCALES = {"uint8": (128.0, 128.0), "int16": (0.0, 32768.0), "int32": (0.0, 2147483648.0)}
"""dtype -> (offset, full scale)."""


def clean_pcm(samples: ArrayLike) -> Samples:
    """Raw samples as float32 mono [S] in [-1, 1]: NaN and Inf become 0, then clip, then the mean of the channels.

    samples: [S] or [S, channels]; float (full scale 1), uint8, int16 or int32.
    InputError: `audio_format` (not a sound's shape or type), `audio_not_finite` (more than 1 % NaN or Inf).
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= AudioLimits.max_channels):
        raise InputError(
            f"the sound has shape {array.shape}; give [samples] or [samples, channels] with at most "
            f"{AudioLimits.max_channels} channels",
            code="audio_format",
        )
    gauge = FiniteGauge()
    clean = clean_samples(array, gauge)
    gauge.check()
    return mix(np.atleast_2d(clean.T), 1)[0]


def clean_samples(samples: np.ndarray, gauge: FiniteGauge) -> Samples:
    """The same shape as float32 in [-1, 1]; `gauge` counts what was not finite. InputError `audio_format`: dtype."""
    if samples.dtype.name in _INTEGER_SCALES:
        offset, scale = _INTEGER_SCALES[samples.dtype.name]
        gauge.add(0, samples.size)
        return (samples.astype(np.float32) - np.float32(offset)) / np.float32(scale)
    if samples.dtype.kind != "f":
        known = ", ".join(_INTEGER_SCALES)
        raise InputError(f"samples of type {samples.dtype} are not sound; give float, {known}", code="audio_format")
    finite = np.isfinite(samples)
    gauge.add(samples.size - int(np.count_nonzero(finite)), samples.size)
    # Clipped before the cast, because a float64 beyond float32's range would become infinite again.
    return np.clip(np.where(finite, samples, 0), -1, 1).astype(np.float32)


def mix(samples_CS: Samples, channels: int) -> Samples:
    """[C, S] -> [channels, S]: as it is if the number fits, else the mean of all (no gain) on each of `channels`."""
    if len(samples_CS) == channels:
        return np.ascontiguousarray(samples_CS)
    mean = samples_CS.mean(axis=0, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(mean, (channels, mean.size)))


class FiniteGauge:
    """Counts samples that are not finite, and refuses a sound that has too many."""

    def __init__(self) -> None:
        self.bad = 0
        self.total = 0

    def add(self, bad: int, total: int) -> None:
        """Count a piece."""
        self.bad += bad
        self.total += total

    def check(self, at_least: int = 0) -> None:
        """InputError `audio_not_finite` if more than 1 % of all counted samples (or of `at_least`, if more) are bad."""
        if self.bad > MAX_BAD_SHARE * max(self.total, at_least):
            raise InputError(
                f"{self.bad:,} of {self.total:,} samples are NaN or infinite; at most {MAX_BAD_SHARE:.0%} can be "
                "mended: export the sound again",
                code="audio_not_finite",
            )
