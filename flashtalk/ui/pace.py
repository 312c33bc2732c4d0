"""How fast films are made, and when one may start to play so that it never stalls. Used by ui/making.py, status.py."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

WINDOW = 24
"""Chunks whose times are remembered."""
_CAUTION = 1.3
"""Chunks that were not seen yet may take so much longer than the slowest that was."""
_DELIVERY_S = 0.2
"""Chunks may need so much longer than the first one from here to the screen."""
_KNOWN = 64
"""Kinds of films whose speed is remembered; the one not made for longest is forgotten first."""


@dataclass(frozen=True)
class Spread:
    """How long chunks took lately, the slowest first; WINDOW of them."""

    seconds: Sequence[float]

    def longest_s(self, chunks: int) -> float:
        """So many chunks come within this time, if no more of them are slow than were lately."""
        rounds, rest = divmod(chunks, len(self.seconds))
        return rounds * sum(self.seconds) + sum(self.seconds[:rest])


@dataclass(frozen=True)
class Pace:
    """Where a film stands: frames, the speed in frames a second, and what to expect of the chunks to come."""

    frames_done: int
    frames_total: int
    made_fps: float
    shown_fps: int
    chunk_frames: int
    spread: Spread

    @property
    def part(self) -> float:
        """0 to 1."""
        return self.frames_done / max(1, self.frames_total)

    @property
    def made_s(self) -> float:
        """Seconds of film that are there."""
        return self.frames_done / self.shown_fps

    @property
    def realtime_factor(self) -> float:
        """Above 1: made faster than it plays."""
        return self.made_fps / self.shown_fps

    @property
    def left_s(self) -> float:
        """Until the last frame is made."""
        return (self.frames_total - self.frames_done) / self.made_fps

    @property
    def lead_s(self) -> float:
        """Seconds of film that must lie ahead of the player now, so that each chunk is there before its turn."""
        chunks = -(-(self.frames_total - self.frames_done) // self.chunk_frames)
        chunk_s = self.chunk_frames / self.shown_fps
        late_s = (self.spread.longest_s(count) - (count - 1) * chunk_s for count in range(1, chunks + 1))
        return max((_DELIVERY_S + late for late in late_s), default=0.0)

    @property
    def hold_s(self) -> float:
        """How long a film that has not begun to play must wait from now on."""
        return max(0.0, self.lead_s - self.made_s)


class Speeds:
    """How long chunks took lately, by kind of film (what makes a chunk take its time). Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def add(self, kind: Hashable, chunk_s: float) -> None:
        """Remember one chunk, made while its film was watched."""
        with self._lock:
            self._seconds.setdefault(kind, deque(maxlen=WINDOW)).append(chunk_s)
            self._seconds.move_to_end(kind)
            if len(self._seconds) > _KNOWN:
                self._seconds.popitem(last=False)

    def spread(self, kind: Hashable, guess_s: float) -> Spread:
        """What to expect of the next chunks. guess_s: for a kind that was never made."""
        with self._lock:
            seen = sorted(self._seconds.get(kind, ()), reverse=True)
        unseen_s = _CAUTION * (seen[0] if seen else guess_s)
        return Spread([unseen_s] * (WINDOW - len(seen)) + seen)
