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
from flashtalk.ui.live.pace import BUSY
from flashtalk.ui.live.pictures import Packer
from flashtalk.ui.live.timeline import SLACK_S, Timeline

_ENDS_KEPT = 3
"""An interrupt goes back by two chunks at most: a stream keeps four, and may be two ahead of what was given."""
_LOOKS = 3


class Run:
    """Not thread-safe. clock_s: where the page's clock stands at the stream's start; base: chunks given before.

    burst_s: see Timeline.
    """

    def __init__(
        self, stream: Stream, packer: Packer, *, clock_s: float, base: int, now_s: float, burst_s: float = 0.0
    ) -> None:
        self.stream, self.packer = stream, packer
        self.config = stream.config
        self.chunk_s = (self.config.chunk_frames - self.config.motion_frames) / self.config.fps
        self.timeline = Timeline(self.config.sample_rate, self.chunk_s, now_s, burst_s)
        self._clock_s, self._base, self._given = clock_s, base, 0
        self._too_late = False
        self._ends = deque([(0, 0)], maxlen=_ENDS_KEPT)
        """(chunks given, samples up to there)."""
        self._fed_at: deque[tuple[int, float]] = deque(maxlen=1000)
        self._unsaid: deque[tuple[int, np.ndarray, int]] = deque()
        """(position, samples, microphone's count before them) of pieces that go on beyond the last chunk given."""
        self._given_s = now_s
        self._took_s: deque[float] = deque(maxlen=_LOOKS)
        """What the last chunks took, from the moment when they could be made."""
        self.preroll(now_s)

    def hear(self, samples_S: np.ndarray, first: int, now_s: float, most_waiting_s: float) -> None:
        """A piece of the microphone, or nothing of it if too much waits already.

        An engine that keeps up may fall behind by `most_waiting_s` for once, and makes up for it; one that does not
        would stay behind: what it cannot make is left out at once, the oldest first, so that what is heard is new.
        """
        limit_s = most_waiting_s if self.keeps_up else SLACK_S
        is_early = not self.keeps_up and now_s < self._given_s + min(self._took_s) - self.chunk_s
        self._too_late = is_early or self.overdue_s > (0.0 if self._too_late else limit_s)
        heard_S = self.timeline.hear(samples_S, first, now_s, self.overdue_s, too_late=self._too_late)
        self.feed(heard_S, now_s)
        if len(heard_S):
            self._unsaid.append((self.timeline.fed - len(samples_S), samples_S, first))

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
        self._took_s.append(now_s - max(fed_s, self._given_s))
        self._given_s = now_s
        while self._unsaid and self._unsaid[0][0] + len(self._unsaid[0][1]) <= end:
            self._unsaid.popleft()
        return now_s - fed_s

    def go_back(self, number: int, now_s: float) -> int:
        """Drop all after the page's chunk `number` (or the nearest that can still be reached); returns its number."""
        reachable = [(given, end) for given, end in self._ends if given <= max(0, number - self._base)]
        self._given, end = reachable[-1] if reachable else self._ends[0]
        while self._ends[-1][0] > self._given:
            self._ends.pop()
        self.stream.interrupt(self._given)
        self.feed(self.timeline.silence(self._go_back(end)), now_s)
        return self.number

    def begin_again(self, now_s: float) -> None:
        """Nobody listened for a while: drop what was not given, and start from silence."""
        self.stream.interrupt(self._given)
        self._go_back(self.samples_given)
        self.preroll(now_s)

    def _go_back(self, position: int) -> int:
        while self._fed_at and self._fed_at[-1][0] > position:
            self._fed_at.pop()
        self._unsaid.clear()
        return self.timeline.go_back(position)

    @property
    def unsaid(self) -> list[tuple[np.ndarray, int]]:
        """What of the microphone was fed and is in no chunk given, as `hear` takes it."""
        pieces = [(max(0, self.samples_given - start), samples_S, first) for start, samples_S, first in self._unsaid]
        return [(samples_S[said:], first + said) for said, samples_S, first in pieces]

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
        waiting_s = (self.timeline.fed - self.samples_given) / self.config.sample_rate
        return max(0.0, waiting_s - 2 * self.chunk_s)

    @property
    def keeps_up(self) -> bool:
        """Whether chunks are made in less time than they play."""
        return min(self._took_s, default=0.0) < BUSY * self.chunk_s

    @property
    def captured(self) -> int | None:
        """The microphone's count at the end of the last chunk given; None if that was silence of ours."""
        return self.timeline.captured_at(self.samples_given)
