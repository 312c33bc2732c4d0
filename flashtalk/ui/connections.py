"""How long a connection may say or take nothing, and how many there may be: each is an open file, and when these run
out nothing can be served, opened or started; and what the log has of it. Used by app.py; ui/guard.py counts requests.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

_WANTED_FILES = 16384
_OTHER_FILES = 256
"""For films, children and sockets of our own."""
_FEWEST = 64


class PatientProtocol(H11Protocol):
    """uvicorn's, which waits for ever for a request's head and takes whoever comes.

    patience_s: a connection without a request under way is closed after this, or twice as long. quiet_per_peer: such
    connections that one machine may have; a proxy asks as soon as it has one. stalled_s: one that takes nothing of what
    waits for it is broken off; a slow telephone takes some of it every few seconds.
    """

    patience_s: ClassVar[float] = 10.0
    quiet_per_peer: ClassVar[int] = 128
    stalled_s: ClassVar[float] = 300.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._waiting_bytes, self._took_s = 0, time.monotonic()
        most = self.limit_concurrency or sys.maxsize
        if len(self.connections) > most or self._quiet_peers() > self.quiet_per_peer:
            transport.abort()
        else:
            self.loop.call_later(self.patience_s, self._look, None)

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        self._took_s = time.monotonic()

    @property
    def is_quiet(self) -> bool:
        """No request is under way."""
        return self.cycle is None or self.cycle.response_complete

    def _quiet_peers(self) -> int:
        peer = self.client and self.client[0]
        others = (one for one in self.connections if isinstance(one, PatientProtocol))
        return sum(one.cycle is None and (one.client and one.client[0]) == peer for one in others)

    def _look(self, then: object) -> None:
        """`then`: the request of the last look."""
        if self.transport.get_protocol() is not self:  # it became a socket's
            return
        if self._is_stalled():
            self.transport.abort()
        elif self.is_quiet and then is self.cycle:
            self.transport.close()
        if self._waiting_bytes or not self.transport.is_closing():  # what waits is still sent when it closes
            self.loop.call_later(self.patience_s, self._look, self.cycle)

    def _is_stalled(self) -> bool:
        before, self._waiting_bytes = self._waiting_bytes, self.transport.get_write_buffer_size()
        if self._waiting_bytes < before or not self._waiting_bytes:
            self._took_s = time.monotonic()
        return time.monotonic() - self._took_s > self.stalled_s


class SparingFilter(logging.Filter):
    """Lets a warning through once in `every_s`: strangers cause as many as they like. Errors all pass."""

    def __init__(self, every_s: float = 60.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._next_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter; told apart by their words before what varies is filled in."""
        if record.levelno > logging.WARNING:
            return True
        now_s = time.monotonic()
        is_due = now_s >= self._next_s.get(str(record.msg), 0.0)
        if is_due:
            self._next_s[str(record.msg)] = now_s + self._every_s
        return is_due


def most_connections() -> int:
    """At one time; lets this process open as many files as the system allows, within reason."""
    if sys.platform == "win32":
        return _WANTED_FILES - _OTHER_FILES
    import resource  # noqa: PLC0415 (not on Windows)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = hard if hard != resource.RLIM_INFINITY else _WANTED_FILES
    wanted = max(soft, min(allowed, _WANTED_FILES))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # a sandbox that allows no change
        wanted = soft
    return max(_FEWEST, wanted - _OTHER_FILES)
