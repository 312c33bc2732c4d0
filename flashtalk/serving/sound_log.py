"""A stream's sound from the oldest sample that may be needed again, by position. Used by seat.py."""

from __future__ import annotations

from collections import deque

import numpy as np


class SoundLog:
    """Float32 pieces, never copied until they are read. Sample 0 is the stream's start."""

    def __init__(self) -> None:
        self._pieces: deque[np.ndarray] = deque()
        self._start = 0
        self.end = 0
        """The sample after the last one that came in."""

    def append(self, samples_S: np.ndarray) -> None:
        """More sound."""
        self._pieces.append(samples_S)
        self.end += len(samples_S)

    def forget(self, before: int) -> None:
        """Samples before this position will not be asked for any more."""
        while self._pieces and self._start + len(self._pieces[0]) <= before:
            self._start += len(self._pieces.popleft())

    def drop_all(self, at: int) -> None:
        """What came was in vain; the next sample that comes has position `at`."""
        self._pieces.clear()
        self._start = self.end = at

    def read(self, start: int, end: int) -> np.ndarray:
        """The samples [start, end)."""
        found, position = [], self._start
        for piece in self._pieces:
            if position >= end:
                break
            found.append(piece[max(0, start - position) : end - position])
            position += len(piece)
        return np.concatenate(found) if found else np.empty(0, np.float32)
