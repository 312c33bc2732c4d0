"""How old things are though somebody sets the clock: by this, visitors' files go. For jobs/room.py, ui/cleaning.py."""

from __future__ import annotations

import sys
import time


class Ages:
    """Since this was made, a clock that is set ahead makes nothing older than it is."""

    def __init__(self) -> None:
        self._begun_s = time.time() - _steady_s()

    def age_s(self, changed_s: float) -> float:
        """Of what was changed at this Unix time."""
        wall_s, steady_s = time.time(), self._begun_s + _steady_s()
        if changed_s > steady_s:  # it came after the clock was set ahead, and must not stay for as long as that was
            return wall_s - changed_s
        return min(wall_s, steady_s) - changed_s


def _steady_s() -> float:
    """Goes on while the machine sleeps, where there is such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()
