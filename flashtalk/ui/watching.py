"""What each visitor watches while it is made, one thing at a time: a new one ends the one before.

Used by ui/making and ui/tabs/compare.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

HAND_OVER_S = 15.0
"""What a visitor's next wish ends frees its place soon; a busy machine takes longer."""


class _Watch(Protocol):
    """What may be watched."""

    def end(self) -> None:
        """Nobody watches any more; allowed any number of times, from any thread."""


Kind = TypeVar("Kind", bound=_Watch)


class Watched(Generic[Kind]):
    """By visitor. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_visitor: dict[str, Kind] = {}

    @contextmanager
    def watching(self, visitor: str, watch: Kind) -> Iterator[Kind | None]:
        """While it is watched; gives the one of this visitor that it ended."""
        with self._lock:
            former, self._by_visitor[visitor] = self._by_visitor.get(visitor), watch
        if former:
            former.end()
        try:
            yield former
        finally:
            with self._lock:
                if self._by_visitor.get(visitor) is watch:
                    del self._by_visitor[visitor]

    def of(self, visitor: str) -> Kind | None:
        """What this visitor watches, ended or not, until it has let go of all."""
        with self._lock:
            return self._by_visitor.get(visitor)
