"""What each address brought lately, so that nobody fills the disk, or the lists of files, for all the others.

For ui/shutters.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_MOST_FILES = 4096
"""Of one address within the age; the plain live mode brings one a second."""


@dataclass
class _Brought:
    came: deque[tuple[float, int, int]] = field(default_factory=deque)
    """(when, bytes, files)."""

    def size(self) -> int:
        return sum(size for _, size, _ in self.came)

    def files(self) -> int:
        return sum(files for _, _, files in self.came)


class Arrivals:
    """Not thread-safe: for the event loop. most_bytes: of one address within `age_s`; `now_s` never goes back."""

    def __init__(self, most_bytes: int, age_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._age_s = age_s
        self._now_s = now_s
        self._of: dict[str, _Brought] = {}

    def are_too_many(self, address: str, size: int) -> bool:
        """Whether `size` more bytes are too much."""
        self._forget_old()
        brought = self._of.get(address, _Brought())
        return brought.size() + size > self._most_bytes or brought.files() >= _MOST_FILES

    def add(self, address: str, size: int, files: int) -> None:
        """What came."""
        self._forget_old()
        self._of.setdefault(address, _Brought()).came.append((self._now_s(), size, files))

    def _forget_old(self) -> None:
        oldest_s = self._now_s() - self._age_s
        for address, brought in list(self._of.items()):
            while brought.came and brought.came[0][0] < oldest_s:
                brought.came.popleft()
            if not brought.came:
                del self._of[address]
