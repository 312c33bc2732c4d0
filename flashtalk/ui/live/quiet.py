"""Tells speech from a quiet room, and makes the quiet truly silent: a face then rests. Called by live/timeline.py."""

from __future__ import annotations

import numpy as np

_LEAST_RMS = 0.003
"""About -50 dBFS: below it nobody speaks, whatever the room is like."""
_MOST_RMS = 0.03
"""The loudest room (about -30 dBFS) that may count as quiet."""
_OVER_FLOOR = 2.5
_RISE_PER_S = 1.15
"""The floor follows a room that gets louder by so much a second; it follows a quieter one at once."""
_HOLD_S = 0.4
"""Ends of words are soft: quiet begins so long after the last loud piece."""


class QuietGate:
    """Remembers how loud the room is. One for each session."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._floor = _LEAST_RMS
        self._held_s = _HOLD_S
        self._open = False

    def apply(self, samples_S: np.ndarray) -> tuple[np.ndarray, bool]:
        """(the samples, or zeros where the room is quiet, with a ramp between the two; whether it is quiet)."""
        if not len(samples_S):
            return samples_S, not self._open
        was_open = self._open
        self._listen(samples_S)
        if self._open and was_open:
            return samples_S, False
        if not self._open and not was_open:
            return np.zeros_like(samples_S), True
        ramp_S = np.linspace(0.0, 1.0, len(samples_S), dtype=np.float32)
        if self._open:  # a word's beginning must not be eaten: the ramp is over within 5 ms
            steep = self._sample_rate // 200
            return samples_S * np.minimum(1, np.arange(len(samples_S), dtype=np.float32) / steep), False
        return samples_S * ramp_S[::-1], False

    def _listen(self, samples_S: np.ndarray) -> None:
        length_s = len(samples_S) / self._sample_rate
        rms = float(np.sqrt(np.mean(np.square(samples_S, dtype=np.float64))))
        self._floor = min(max(rms, _LEAST_RMS / _OVER_FLOOR), self._floor * _RISE_PER_S**length_s)
        threshold = min(_MOST_RMS, max(_LEAST_RMS, _OVER_FLOOR * self._floor))
        self._held_s = 0.0 if rms > threshold else self._held_s + length_s
        self._open = self._held_s < _HOLD_S
