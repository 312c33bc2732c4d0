"""Lets go of what Gradio remembers of uploads and calls that are over. Made by ui/build.py."""

from __future__ import annotations

import time
from _collections_abc import dict_items
from collections import defaultdict
from collections.abc import Callable

from gradio import routes
from gradio.blocks import Blocks


class _Sessions(defaultdict[str, set[str]]):
    """Calls by session. Whoever walks through them is not disturbed by others, who add and drop some meanwhile."""

    def items(self) -> dict_items[str, set[str]]:
        """As they are now."""
        return dict(self).items()


class Leftovers:
    """What Gradio keeps of uploads and calls that are over. age_s: of an upload that never ends; now_s never goes back.

    Gradio is in its own thread meanwhile: each act here is one that others see whole.
    """

    def __init__(self, blocks: Blocks, *, age_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._queue = blocks._queue
        self._age_s = age_s
        self._now_s = now_s
        self._since_s: dict[str, float] = {}
        """Of uploads under way."""
        # Whoever hears the end of a call, or begins one, finds its session again, though it was swept just then.
        self._queue.pending_event_ids_session = _Sessions(set, self._queue.pending_event_ids_session)

    def forget_old(self) -> None:
        """Drop what nobody will ask for."""
        self._forget_uploads()
        self._forget_calls()

    def _forget_uploads(self) -> None:
        statuses, signals = routes.file_upload_statuses._statuses, routes.file_upload_statuses._signals
        now_s = self._now_s()
        self._since_s = {upload: self._since_s.get(upload, now_s) for upload in list(statuses)}
        for upload, since_s in self._since_s.items():
            status = statuses.get(upload)
            if status and (status.is_done or now_s - since_s > self._age_s):
                statuses.pop(upload, None)
        for upload, signal in list(signals.items()):
            if upload not in statuses and not signal._waiters:  # type: ignore[attr-defined]
                signals.pop(upload, None)

    def _forget_calls(self) -> None:
        sessions = self._queue.pending_event_ids_session
        for session, calls in list(sessions.items()):
            known = calls.copy()
            goes_on = any(call in self._queue.event_ids_to_events for call in known)
            is_heard = session in self._queue.pending_messages_per_session
            if not goes_on and not (known and is_heard) and (begun := sessions.pop(session, known) - known):
                sessions[session].update(begun)
