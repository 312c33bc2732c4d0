"""Keeps a live stream's sound in step with the wall clock: what of the microphone is fed, and where silence goes.

Called by live/session.py. Positions are samples since the stream began; times are seconds of a monotonic clock. The
law: speech is never cut or stretched; pauses are elastic (dropped when the stream is ahead, lengthened when behind).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

import numpy as np

from flashtalk.ui.live.quiet import QuietGate

SLACK_S = 0.12
"""Ahead or behind by less is jitter."""
GAP_S = 0.25
"""Without a microphone's piece for so long, silence goes on in its place."""
TICK_S = 0.08


class Timeline:
    """One stream's past and target. `preroll_s` of silence goes first, so that pictures come before the first word.

    burst_s: sound that comes at a time, if that is more than jitter.
    """

    def __init__(self, sample_rate: int, preroll_s: float, now_s: float, burst_s: float = 0.0) -> None:
        self._gap_s = GAP_S + 2 * burst_s
        self.fed = 0
        self.words_lost_s = 0.0
        """Sound left out so far that was no pause."""
        self._rate = sample_rate
        self._begin_s = now_s - preroll_s
        self._heard_s = now_s
        self._gate = QuietGate(sample_rate)
        self._marks: deque[tuple[int, int]] = deque(maxlen=2000)
        """(position, microphone's count) at the end of pieces that were fed."""

    def silence(self, samples: int) -> np.ndarray:
        """So much silence, counted as fed."""
        self.fed += samples
        return np.zeros(samples, np.float32)

    def hear(
        self, samples_S: np.ndarray, first: int, now_s: float, waiting_s: float = 0.0, *, too_late: bool = False
    ) -> np.ndarray:
        """What of a piece is to be fed. waiting_s: seconds that the engine is late; pauses make up for these too.

        too_late: nothing is, not even words; the stream's clock waits, so that no silence comes in their place later.
        """
        self._heard_s = now_s
        clean_S, quiet = self._gate.apply(samples_S)
        ahead_s = self.ahead_s(now_s)
        if too_late or (quiet and waiting_s > SLACK_S):
            length_s = len(samples_S) / self._rate
            self.words_lost_s += 0.0 if quiet else length_s
            self._begin_s += length_s
            return clean_S[:0]
        if quiet and ahead_s > SLACK_S:
            return clean_S[:0]
        if quiet and ahead_s < -SLACK_S:
            clean_S = np.concatenate((clean_S, np.zeros(round(-ahead_s * self._rate), np.float32)))
        self.fed += len(clean_S)
        self._marks.append((self.fed, first + len(samples_S)))
        return clean_S

    def fill(self, now_s: float) -> np.ndarray:
        """Silence in place of a microphone that says nothing; empty while it speaks."""
        behind_s = -self.ahead_s(now_s)
        if now_s - self._heard_s < self._gap_s or behind_s < TICK_S:
            return np.zeros(0, np.float32)
        return self.silence(round(behind_s * self._rate))

    def go_back(self, position: int) -> int:
        """The stream continues at `position`; returns how many samples beyond it were fed and are dropped."""
        dropped = max(0, self.fed - position)
        self.fed = position
        while self._marks and self._marks[-1][0] > position:
            self._marks.pop()
        return dropped

    def resume(self, now_s: float) -> None:
        """The stream stood still (nobody was listening); what is fed by now is on time."""
        self._begin_s = now_s - self.fed / self._rate
        self._heard_s = now_s

    def ahead_s(self, now_s: float) -> float:
        """Seconds fed beyond the wall clock; negative when behind."""
        return self.fed / self._rate - (now_s - self._begin_s)

    def captured_at(self, position: int) -> int | None:
        """Which sample of the microphone is heard at `position`; None where no microphone was near."""
        at = bisect_right(self._marks, (position, 1 << 62))
        if at == 0 and not (self._marks and self._marks[0][0] - position < self._rate):
            return None
        mark, count = self._marks[max(0, at - 1)]
        captured = count + position - mark
        return captured if captured >= 0 and abs(position - mark) < self._rate else None
