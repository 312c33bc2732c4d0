"""What each visitor watches while it is made, one thing at a time: a new one ends the one before.

Used by ui/making and ui/tabs/compare.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from typing import Generic, TypeVar

_HAND_OVER_S = 15.0
"""What a visitor's next wish ends frees its place soon; a busy machine takes longer."""


class Watch:
    """What one visitor watches, from the press on. Thread-safe."""

    is_over = False
    """Whether nobody watches any more."""

    def end(self) -> None:
        """Nobody watches any more; allowed any number of times."""
        self.is_over = True


Kind = TypeVar("Kind", bound=Watch)
Update = TypeVar("Update")


class Watched(Generic[Kind]):
    """By visitor. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_visitor: dict[str, Kind] = {}

    def updates(
        self, visitor: str, watch: Kind, make: Callable[[float], Generator[Update]]
    ) -> Generator[Update, None, bool]:
        """Those that `make` gives, until the watch is over; whether the visitor stopped it, and began no other one.

        make: is told how long to wait for the place of the one before, in seconds.
        """
        with self._watching(visitor, watch) as former, closing(make(_HAND_OVER_S if former else 0.0)) as made:
            yield from takewhile(lambda _: not watch.is_over, made)
            return watch.is_over and self.of(visitor) is watch

    @contextmanager
    def _watching(self, visitor: str, watch: Kind) -> Iterator[Kind | None]:
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
