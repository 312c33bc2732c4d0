"""Lets go of films that Gradio keeps in memory for a page that never said that it left. Made by ui/build.py."""

from __future__ import annotations

import time
from collections.abc import Callable

from gradio.blocks import Blocks


class Streams:
    """Of one app's pages; `now_s` never goes back."""

    def __init__(self, blocks: Blocks, age_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._blocks = blocks
        self._age_s = age_s
        self._now_s = now_s
        self._seen: dict[str, tuple[int, float]] = {}

    def forget_old(self) -> None:
        """Drop the sessions to which nothing was added for so long."""
        pending, before, now_s = self._blocks.pending_streams, self._seen, self._now_s()
        self._seen = {}
        for session, runs in list(pending.items()):
            streams = [stream for run in list(runs.values()) for stream in list(run.values())]
            size = sum(len(stream.segments) for stream in streams)
            known_size, since_s = before.get(session, (-1, now_s))
            since_s = since_s if size == known_size else now_s
            if now_s - since_s <= self._age_s:
                self._seen[session] = (size, since_s)
                continue
            pending.pop(session, None)
            for stream in streams:
                stream.end_stream()
