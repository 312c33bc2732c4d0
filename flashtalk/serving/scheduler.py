"""Whose chunk is computed next: the stream whose visitor would run dry first. Pure arithmetic on monotonic seconds.

Called by supervisor.py, which holds one Pace for each seat.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

BACKGROUND_SLACK_S = 3.0
"""A stream that nobody watches live is as urgent as one that is watched and has so much more in hand."""
BACKGROUND_PATIENCE_S = 6.0
"""It gets a chunk at least this often, however busy the house is."""


class Pace:
    """When a stream's visitor runs dry, if it plays from its first chunk on and stops while there is nothing."""

    def __init__(self, now_s: float, *, realtime: bool) -> None:
        self._realtime = realtime
        self._dry_s = now_s
        self._served_s = now_s

    def deadline_s(self) -> float:
        """The next chunk should be there by then."""
        if self._realtime:
            return self._dry_s
        return min(self._dry_s + BACKGROUND_SLACK_S, self._served_s + BACKGROUND_PATIENCE_S)

    def served(self, now_s: float, duration_s: float) -> None:
        """A chunk came that plays for `duration_s`."""
        self._dry_s = max(self._dry_s, now_s) + duration_s
        self._served_s = now_s

    def restart(self, now_s: float) -> None:
        """What was in hand was thrown away: an interruption."""
        self._dry_s = now_s


class Paced(Protocol):
    """What waits for its turn."""

    pace: Pace
    number: int


Waiting = TypeVar("Waiting", bound=Paced)


def most_urgent(waiting: Iterable[Waiting]) -> Waiting | None:
    """The one whose deadline is nearest; of equals the one who came first."""
    return min(waiting, key=lambda one: (one.pace.deadline_s(), one.number), default=None)
