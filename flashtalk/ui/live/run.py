"""One stream of a live session: what was fed to it, what it gave, how late it is. Used by live/session.py.

A session has one run after another when a worker dies or a cheaper setting is needed; the page's clock and chunk
numbers go on through all of them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from flashtalk.errors import WorkerLost
from flashtalk.serving.protocol import Stream
from flashtalk.types import VideoChunk
from flashtalk.ui.live.pictures import Packer
from flashtalk.ui.live.timeline import Timeline

_ENDS_KEPT = 3
"""An interrupt goes back by two chunks at most: a stream keeps four, and may be two ahead of what was given."""


class Run:
    """Not thread-safe. clock_s: where the page's clock stands at the stream's start; base: chunks given before."""

    def __init__(self, stream: Stream, packer: Packer, *, clock_s: float, base: int, now_s: float) -> None:
        self.stream, self.packer = stream, packer
        self.config = stream.config
        self.chunk_s = (self.config.chunk_frames - self.config.motion_frames) / self.config.fps
        self.timeline = Timeline(self.config.sample_rate, self.chunk_s, now_s)
        self._clock_s, self._base, self._given = clock_s, base, 0
        self._too_late = False
        self._ends = deque([(0, 0)], maxlen=_ENDS_KEPT)
        """(chunks given, samples up to there)."""
        self._fed_at: deque[tuple[int, float]] = deque(maxlen=1000)
        self.preroll(now_s)

    def feed(self, samples_S: np.ndarray, now_s: float) -> None:
        """Sound that the timeline has counted."""
        if len(samples_S):
            self.stream.feed(samples_S)
            self._fed_at.append((self.timeline.fed, now_s))

    def preroll(self, now_s: float) -> None:
        """A chunk of silence at once, so that pictures are there before the first word; from here on is on time."""
        self.feed(self.timeline.silence(round(self.chunk_s * self.config.sample_rate)), now_s)
        self.timeline.resume(now_s)

    def next(self, timeout_s: float) -> VideoChunk | None:
        """The next chunk if it is there within `timeout_s`. Raises WorkerLost."""
        try:
            chunk = self.stream.next(timeout_s)
        except TimeoutError:
            return None
        if chunk is None:
            raise WorkerLost("the stream ended by itself")
        return chunk

    def take(self, chunk: VideoChunk, now_s: float) -> float:
        """Note that `chunk` is given; returns seconds since the last of its sound was fed."""
        end = self.samples_given + len(chunk.samples)
        self._given = chunk.index + 1
        self._ends.append((self._given, end))
        fed_s = next((at_s for fed, at_s in self._fed_at if fed >= end), now_s)
        return now_s - fed_s

    def go_back(self, number: int, now_s: float) -> int:
        """Drop all after the page's chunk `number` (or the nearest that can still be reached); returns its number."""
        reachable = [(given, end) for given, end in self._ends if given <= max(0, number - self._base)]
        self._given, end = reachable[-1] if reachable else self._ends[0]
        while self._ends[-1][0] > self._given:
            self._ends.pop()
        self.stream.interrupt(self._given)
        self.feed(self.timeline.silence(self.timeline.go_back(end)), now_s)
        return self.number

    def begin_again(self, now_s: float) -> None:
        """Nobody listened for a while: drop what was not given, and start from silence."""
        self.stream.interrupt(self._given)
        self.timeline.go_back(self.samples_given)
        self.preroll(now_s)

    @property
    def number(self) -> int:
        """Chunks given so far, on the page's count."""
        return self._base + self._given

    @property
    def samples_given(self) -> int:
        """Where the last chunk given ends in this stream."""
        return self._ends[-1][1]

    @property
    def clock_s(self) -> float:
        """Where the last chunk given ends on the page's clock."""
        return self._clock_s + self.samples_given / self.config.sample_rate

    @property
    def overdue_s(self) -> float:
        """Sound that waits beyond the chunk being made and the time that making one may take."""
        need = self.samples_given / self.config.sample_rate + self.chunk_s
        return max(0.0, self.timeline.fed / self.config.sample_rate - need - self.chunk_s)

    def is_too_late(self, limit_s: float) -> bool:
        """Whether words are to be left out: from `limit_s` overdue until nothing is, so that whole stretches go."""
        self._too_late = self.overdue_s > (0.0 if self._too_late else limit_s)
        return self._too_late

    @property
    def captured(self) -> int | None:
        """The microphone's count at the end of the last chunk given; None if that was silence of ours."""
        return self.timeline.captured_at(self.samples_given)
