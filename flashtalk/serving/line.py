"""Seats and the line before them: first come, first served, and everybody knows the place. Used by client.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flashtalk.errors import EngineError, Overloaded
from flashtalk.serving.protocol import OnPlace

TELL_S = 1.0
"""People in line are told their place this often, even if it is the same; what they raise lets them leave."""
_USUAL_STAY_S = 30.0
"""Taken for the length of a stay until some have ended."""
_NEWEST = 0.2
"""Weight of the stay that ended last in the average."""


class Line:
    """Thread-safe."""

    def __init__(self, seats: int, length: int, wait_s: float) -> None:
        self._seats = seats
        self._length = length
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._tickets: list[object] = []
        self._used = 0
        self._stay_s = _USUAL_STAY_S
        self._closed = False
        self.refused = 0

    @property
    def used(self) -> int:
        """Seats taken."""
        return self._used

    @property
    def waiting(self) -> int:
        """People in line."""
        return len(self._tickets)

    def take_seat(self, on_place: OnPlace | None) -> None:
        """Returns when a seat is ours. Raises Overloaded, and what `on_place` raises."""
        with self._in_line() as ticket:
            until_s = time.monotonic() + self._wait_s
            while not self._seated(ticket):
                place = self._place(ticket)
                if time.monotonic() >= until_s:
                    raise self._refusal(place)
                if on_place:
                    on_place(place)
                self._wait(ticket, place, min(TELL_S, until_s - time.monotonic()))

    def leave_seat(self, stay_s: float) -> None:
        """A seat is free again after `stay_s` seconds."""
        with self._changed:
            self._used -= 1
            self._stay_s += _NEWEST * (stay_s - self._stay_s)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody is seated any more; those who wait are told."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def demand_place(self) -> None:
        """Refuse at once, before anything was spent on the visitor, if there is neither a seat nor a place in line."""
        with self._changed:
            is_free = not self._tickets and self._used < self._seats
            if not is_free and len(self._tickets) >= self._length:
                raise self._refusal(len(self._tickets) + 1)

    @contextmanager
    def _in_line(self) -> Iterator[object]:
        ticket = object()
        with self._changed:
            self.demand_place()
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()

    def _seated(self, ticket: object) -> bool:
        with self._changed:
            if self._closed:
                raise EngineError("the house is closing", code="closed")
            if self._place(ticket) > 1 or self._used >= self._seats:
                return False
            self._used += 1
            return True

    def _wait(self, ticket: object, place: int, timeout_s: float) -> None:
        def has_moved() -> bool:
            now = self._place(ticket)
            return self._closed or now != place or (now == 1 and self._used < self._seats)

        with self._changed:
            self._changed.wait_for(has_moved, timeout_s)

    def _place(self, ticket: object) -> int:
        return self._tickets.index(ticket) + 1

    def _refusal(self, place: int) -> Overloaded:
        self.refused += 1
        wait_s = place * self._stay_s / self._seats
        return Overloaded(
            f"all {self._seats} seats are taken; you would be number {place} in line, about {max(1, round(wait_s))} s "
            "away: try again later",
            place=place,
            wait_s=wait_s,
        )
