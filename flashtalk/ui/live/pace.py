"""Keeps live sessions as fast as speech: judges what chunks cost, names cheaper settings. Called by live/session.py."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from flashtalk.config import StreamConfig
from flashtalk.errors import ConfigError
from flashtalk.serving.protocol import Client

BUSY = 0.85
"""A chunk may cost so much of its own length; beyond that, any hiccup makes the stream late."""
TRY_AGAIN_S = 600.0
_FEW_STEPS = 2
_LATE_CHUNKS = 3
"""A single slow chunk is an accident."""


def rungs(client: Client, first_chunk_frames: int) -> list[dict[str, Any]]:
    """Stream settings for live use, best first: the engine's own steps, then fewer.

    Smaller pictures and shorter chunks are not on the ladder: the small model's lips hardly move with either.
    """
    short = {"first_chunk_frames": min(first_chunk_frames, client.stream().chunk_frames)}
    own = client.stream(**short)
    few = _checked(client, {**short, "steps": _FEW_STEPS})
    return [short, {**short, "steps": _FEW_STEPS}] if few and few.steps < own.steps else [short]


@dataclass
class Pace:
    """Where on the ladder conversations of one client begin: what was too slow for one is too slow for the next."""

    ladder: list[dict[str, Any]]
    rung: int = 0
    since_s: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, now_s: float) -> None:
        """A conversation begins; after a while without trouble it tries one rung better."""
        with self._lock:
            if self.rung and now_s - self.since_s > TRY_AGAIN_S:
                self.rung, self.since_s = self.rung - 1, now_s

    def is_below(self, rung: int, now_s: float) -> bool:
        """One of them is too slow on `rung`: whether there is a cheaper one, on which the next will begin as well."""
        with self._lock:
            if self.rung <= rung < len(self.ladder) - 1:
                self.rung, self.since_s = rung + 1, now_s
            return self.rung > rung


@dataclass
class Footing:
    """Where one conversation stands on that ladder: the rung of its stream, and how many chunks were late in a row."""

    pace: Pace
    rung: int = 0
    late: int = 0

    def take(self) -> dict[str, Any]:
        """Settings for a new stream, on the rung where all begin now."""
        self.rung, self.late = self.pace.rung, 0
        return self.pace.ladder[self.rung]

    def must_go_down(self, compute_s: float, duration_s: float, overdue_s: float, now_s: float) -> bool:
        """After a chunk: whether a new stream is needed, on a cheaper rung. overdue_s: see live/run.py."""
        slow = compute_s > BUSY * duration_s or overdue_s > duration_s
        self.late = self.late + 1 if slow else 0
        return self.late >= _LATE_CHUNKS and self.pace.is_below(self.rung, now_s)


def _checked(client: Client, changes: dict[str, Any]) -> StreamConfig | None:
    try:
        return client.stream(**changes)
    except ConfigError:
        return None
