"""Keeps live sessions as fast as speech: judges what chunks cost, names cheaper settings. Called by live/session.py."""

from __future__ import annotations

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
    """Where on the ladder the sessions of one client stand: what was too slow for one is too slow for the next."""

    ladder: list[dict[str, Any]]
    rung: int = 0
    late: int = 0
    since_s: float = field(default_factory=time.monotonic)

    def begin(self, now_s: float) -> None:
        """A conversation begins; after a while without trouble it tries one rung better."""
        if self.rung and now_s - self.since_s > TRY_AGAIN_S:
            self.rung, self.late, self.since_s = self.rung - 1, 0, now_s

    @property
    def changes(self) -> dict[str, Any]:
        """Stream settings of the present rung."""
        return self.ladder[self.rung]

    def must_go_down(self, compute_s: float, duration_s: float, overdue_s: float, now_s: float) -> bool:
        """After a chunk: whether a new stream is needed, on the next rung. overdue_s: see live/run.py."""
        slow = compute_s > BUSY * duration_s or overdue_s > duration_s
        self.late = self.late + 1 if slow else 0
        if self.late < _LATE_CHUNKS or self.rung + 1 >= len(self.ladder):
            return False
        self.rung, self.late, self.since_s = self.rung + 1, 0, now_s
        return True


def _checked(client: Client, changes: dict[str, Any]) -> StreamConfig | None:
    try:
        return client.stream(**changes)
    except ConfigError:
        return None
