"""How often one visitor may ask: a bucket of requests for each address. Used by ui/routes.py and tabs' routes."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

_KNOWN = 4096
"""Addresses remembered; the one heard of longest ago is forgotten first."""


class RateLimit:
    """`per_minute` requests in a minute, all at once if need be. Thread-safe."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._more: Counter[str] = Counter()
        """A minute, by address."""

    def allows(self, address: str) -> bool:
        """Whether this request may go on; it counts when it may."""
        now = time.monotonic()
        with self._lock:
            left = self._left(address, now)
            self._buckets.pop(address, None)
            allowed = left >= 1
            self._buckets[address] = (left - 1 if allowed else left, now)
            if len(self._buckets) > _KNOWN:
                self._buckets.popitem(last=False)
        return allowed

    def would_allow(self, address: str) -> bool:
        """The same, counting nothing."""
        with self._lock:
            return self._left(address, time.monotonic()) >= 1

    @contextmanager
    def more(self, address: str, per_minute: int) -> Iterator[None]:
        """Inside, something runs that asks so often by itself: the address may ask that much more, no more at once."""
        with self._lock:
            self._more[address] += per_minute
        try:
            yield
        finally:
            with self._lock:
                self._more[address] -= per_minute
                self._more += Counter()  # forgets who has none

    def _left(self, address: str, now: float) -> float:
        left, then = self._buckets.get(address, (self._most, now))
        return min(self._most, left + (now - then) * (self._most + self._more[address]) / 60)
