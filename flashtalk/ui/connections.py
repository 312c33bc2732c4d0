"""How long a connection may say nothing, and how many there may be: each is an open file, and when these run out
nothing can be served, opened or started. Used by app.py; counts of requests are in ui/guard.py.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

_WANTED_FILES = 16384
_OTHER_FILES = 256
"""For films, children and sockets of our own."""
_FEWEST = 64


class PatientProtocol(H11Protocol):
    """uvicorn's, which waits for ever for a request's head and takes whoever comes.

    patience_s: a connection without a request under way is closed after this, or twice as long. quiet_per_peer: such
    connections that one machine may have; a proxy asks as soon as it has one.
    """

    patience_s: ClassVar[float] = 10.0
    quiet_per_peer: ClassVar[int] = 128

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        most = self.limit_concurrency or sys.maxsize
        if len(self.connections) > most or self._quiet_peers() > self.quiet_per_peer:
            transport.abort()
        else:
            self.loop.call_later(self.patience_s, self._look, None)

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
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it became a socket's
            return
        if self.is_quiet and (then is self.cycle):
            self.transport.close()
        else:
            self.loop.call_later(self.patience_s, self._look, self.cycle)


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
