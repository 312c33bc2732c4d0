"""All live conversations of one app: who may open one, and who comes back to which. Used by live/route.py."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from flashtalk.config_app import LiveConfig
from flashtalk.errors import Overloaded
from flashtalk.serving.protocol import Client
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live.pace import Pace, rungs
from flashtalk.ui.live.session import LiveSession, Visitor


@dataclass(frozen=True)
class _Held:
    session: LiveSession
    owner: str
    """A key alone, overheard, resumes nothing."""
    asker: Asker


class LiveSessions:
    """Thread-safe. Sessions end by themselves; `close` ends all."""

    def __init__(self, client: Client, settings: LiveConfig) -> None:
        self.settings = settings
        self._client = client
        self._pace = Pace(rungs(client, settings.first_chunk_frames))
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def open(self, visitor: Visitor, owner: str, asker: Asker) -> LiveSession:
        """A new conversation; one that the same owner has already ends. Raises Overloaded."""
        with self._lock:
            for held in self._held.values():
                if held.owner == owner:
                    held.session.close()
            self._make_way(asker)
            self._forget_ended()
            if refusal := self._refusal(asker):
                raise refusal
            session = LiveSession(self._client, self.settings, self._pace, visitor)
            self._held[session.key] = _Held(session, owner, asker)
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

    def _make_way(self, asker: Asker) -> None:
        """A page that was loaded anew without a farewell: its conversation would wait for nobody."""
        theirs = [held.session for held in self._held.values() if held.asker.visitor == asker.visitor]
        if sum(not session.ended for session in theirs) >= self.settings.per_visitor:
            for session in theirs:
                if session.alone:
                    session.close()

    def _refusal(self, asker: Asker) -> Overloaded | None:
        askers, settings = [held.asker for held in self._held.values()], self.settings
        if sum(one.visitor == asker.visitor for one in askers) >= settings.per_visitor:
            words = f"You have {settings.per_visitor} live conversations, the most allowed; end one, then press Start."
            return Overloaded(words, code="live_enough")
        if asker.address and sum(one.address == asker.address for one in askers) >= settings.per_address:
            most = f"{settings.per_address} live conversations, the most allowed"
            return Overloaded(f"Your address has {most}; try again when one has ended.", code="live_enough")
        if len(askers) >= settings.max_sessions:
            words = f"{len(askers)} live conversations are going on, which is all there may be; try again soon."
            return Overloaded(words)
        return None

    def _forget_ended(self) -> None:
        self._held = {key: held for key, held in self._held.items() if not held.session.ended}
