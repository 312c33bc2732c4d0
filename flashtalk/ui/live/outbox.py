"""Messages that wait for one browser: a session's thread puts, the socket's task takes. Used by session and route.

A browser acknowledges what it has received, in seconds of media. Beyond a window nothing is sent, so that what waits,
waits here, where pictures can still be dropped (whole groups up to the next key frame); sound never is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Protocol

from flashtalk.ui.live.messages import Kind, Outgoing

_SAME_S = 0.001
_MOST_WAITING, _MOST_BEHIND_S = 2000, 60.0
"""Messages, media: whoever does not take so much does not listen."""


class Sink(Protocol):
    """Where a session's messages go: Outbox for our socket, live/plain.py for Gradio's video."""

    @property
    def pictures_dropped(self) -> int:
        """Pictures that a slow browser did not get."""

    def put(self, message: Outgoing) -> None:
        """One message."""

    def restart(self, at_s: float) -> None:
        """What waits and lies behind `at_s` is not wanted any more."""

    def close(self) -> None:
        """No more will come."""


class Outbox:
    """One for each connection. `take` belongs to the event loop, everything else to any thread.

    window_s: media that may be on its way. late_s: media that may wait unacknowledged before pictures are dropped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, window_s: float, late_s: float) -> None:
        self.pictures_dropped = 0
        self.gave_up = False
        """The browser was too far behind or silent: nothing waits for it. It may come back and begin from then."""
        self._loop, self._window_s, self._late_s = loop, window_s, late_s
        self._lock = threading.RLock()
        self._waiting: deque[Outgoing] = deque()
        self._received_s = self._sent_s = self._put_s = 0.0
        self._skipping = False
        self._closed = False
        self._wake = asyncio.Event()

    def put(self, message: Outgoing) -> None:
        """Queue a message, unless it is a picture of a group that the browser is too slow for."""
        with self._lock:
            if self._closed or self._is_late(message):
                return
            self._waiting.append(message)
            self._put_s = max(self._put_s, message.end_s)
            if len(self._waiting) > _MOST_WAITING or self.behind_s > _MOST_BEHIND_S:
                self.give_up()
        self._rouse()

    def received(self, end_s: float) -> None:
        """The browser has everything up to `end_s`; what was not sent yet it may have of an earlier conversation."""
        with self._lock:
            self._received_s = max(self._received_s, min(end_s, self._sent_s))
        self._rouse()

    def restart(self, at_s: float) -> None:
        """A new run begins at `at_s`: media that waits and lies behind it will never be played.

        To a connection that got nothing yet the clock begins there, however long the conversation is already.
        """
        with self._lock:
            self._waiting = deque(m for m in self._waiting if m.kind is None or m.end_s < at_s + _SAME_S)
            self._received_s = min(self._received_s, at_s) if self._put_s else at_s
            self._sent_s, self._put_s = min(self._sent_s, at_s), at_s
            self._skipping = False

    def give_up(self) -> None:
        """Nothing goes to this browser any more."""
        with self._lock:
            self._waiting.clear()
            self._closed = self.gave_up = True
        self._rouse()

    def close(self) -> None:
        """`take` gives what waits, then None."""
        self._closed = True
        self._rouse()

    @property
    def behind_s(self) -> float:
        """Media that the browser does not have yet."""
        return max(0.0, self._put_s - self._received_s)

    async def take(self) -> Outgoing | None:
        """The next message, as soon as the window lets it go; None after `close`."""
        while True:
            self._wake.clear()
            message = self._take_now()
            if message is not None or (self._closed and not self._waiting):
                return message
            await self._wake.wait()

    def _take_now(self) -> Outgoing | None:
        with self._lock:
            if not self._waiting:
                return None
            first = self._waiting[0]
            open_window = self._sent_s - self._received_s < self._window_s
            if first.kind is not None and not open_window and not self._closed:
                return None
            self._sent_s = max(self._sent_s, first.end_s)
            return self._waiting.popleft()

    def _is_late(self, message: Outgoing) -> bool:
        if message.kind is not Kind.PICTURE:
            return False
        if message.key:
            self._skipping = message.end_s - self._received_s > self._late_s
            if self._skipping:
                self._drop_waiting_pictures()
        self.pictures_dropped += self._skipping
        return self._skipping

    def _drop_waiting_pictures(self) -> None:
        kept = deque(message for message in self._waiting if message.kind is not Kind.PICTURE)
        self.pictures_dropped += len(self._waiting) - len(kept)
        self._waiting = kept

    def _rouse(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)
