"""How fast films are made, and when one may start to play so that it never stalls. Used by ui/tabs/upload.py."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flashtalk.config import StreamConfig

_NEW_WEIGHT = 0.5
_MARGIN = 0.1
"""Chunks may take so much longer than reckoned."""


@dataclass(frozen=True)
class Pace:
    """Where a film stands: frames, and the speed in frames a second (0: not known yet)."""

    frames_done: int
    frames_total: int
    made_fps: float
    shown_fps: int

    @property
    def part(self) -> float:
        """0 to 1."""
        return self.frames_done / max(1, self.frames_total)

    @property
    def realtime_factor(self) -> float:
        """Above 1: made faster than it plays."""
        return self.made_fps / self.shown_fps

    @property
    def left_s(self) -> float:
        """Until the last frame is made."""
        return (self.frames_total - self.frames_done) / self.made_fps if self.made_fps else float("inf")

    def hold_s(self, chunk_frames: int) -> float:
        """How long playing must wait from now on, so that each chunk is there before the one before it has ended."""
        left = self.frames_total - self.frames_done
        if not left or not self.made_fps:
            return 0.0
        frame_s = (1 + _MARGIN) / self.made_fps
        full, rest = divmod(left, chunk_frames)
        # Lateness grows or shrinks evenly from chunk to chunk, so the first, the last whole and the very last decide.
        ends = (min(chunk_frames, left), full * chunk_frames, left)
        begins = (0, max(0, (full - 1) * chunk_frames), left - (rest or min(chunk_frames, left)))
        late_s = (
            end * frame_s - (self.frames_done + begin) / self.shown_fps for begin, end in zip(begins, ends, strict=True)
        )
        return max(0.0, *late_s)


class Speeds:
    """What was measured lately, by size and steps, so that the next film's start is reckoned well. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fps: dict[tuple[int, int, int], float] = {}

    def add(self, stream: StreamConfig, fps: float) -> float:
        """Remember one measurement; gives the mean to reckon with."""
        key = (stream.width, stream.height, stream.steps)
        with self._lock:
            known = self._fps.get(key, fps)
            self._fps[key] = known + _NEW_WEIGHT * (fps - known)
            return self._fps[key]
