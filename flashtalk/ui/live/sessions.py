"""All live conversations of one app: who may open one, and who comes back to which. Used by live/route.py."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flashtalk.config_app import LiveConfig
from flashtalk.errors import Overloaded
from flashtalk.serving.protocol import Client
from flashtalk.ui.live.pace import Pace, rungs
from flashtalk.ui.live.session import LiveSession, Visitor


@dataclass(frozen=True)
class _Held:
    session: LiveSession
    owner: str
    """A key alone, overheard, resumes nothing."""


class LiveSessions:
    """Thread-safe. Sessions end by themselves; `close` ends all."""

    def __init__(self, client: Client, settings: LiveConfig) -> None:
        self.settings = settings
        self._client = client
        self._pace = Pace(rungs(client, settings.first_chunk_frames))
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def open(self, visitor: Visitor, owner: str) -> LiveSession:
        """A new conversation; one that the same owner has already ends. Raises Overloaded."""
        with self._lock:
            self._forget_ended()
            for held in [held for held in self._held.values() if held.owner == owner]:
                held.session.close()
            others = sum(held.owner != owner for held in self._held.values())
            if others >= self.settings.max_sessions:
                raise Overloaded(
                    f"{others} live conversations are going on, which is all there may be; try again soon."
                )
            session = LiveSession(self._client, self.settings, self._pace, visitor)
            self._held[session.key] = _Held(session, owner)
            return session

    def find(self, key: str, owner: str) -> LiveSession | None:
        """A conversation that waits for its browser, or None if it is over or somebody else's."""
        with self._lock:
            self._forget_ended()
            held = self._held.get(key)
            return held.session if held and held.owner == owner else None

    def close(self, timeout_s: float = 5.0) -> None:
        """End all conversations."""
        with self._lock:
            sessions = [held.session for held in self._held.values()]
        for session in sessions:
            session.close()
        for session in sessions:
            session.join(timeout_s)

    @property
    def count(self) -> int:
        """Conversations now, those that wait for their browser included."""
        with self._lock:
            self._forget_ended()
            return len(self._held)

    def _forget_ended(self) -> None:
        self._held = {key: held for key, held in self._held.items() if not held.session.ended}
