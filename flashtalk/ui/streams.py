"""Lets go of films that Gradio keeps in memory for a page that never said that it left, and of those that nobody plays
when all together take too much. Made by ui/build.py.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gradio.blocks import Blocks
from gradio.context import LocalContext
from gradio.route_utils import MediaStream

from flashtalk.config_app import UiConfig
from flashtalk.ui.around import inside
from flashtalk.ui.browsers import Asker, Browsers
from flashtalk.ui.refusal import asked_route

Message = MutableMapping[str, Any]
Asgi = Callable[..., Awaitable[None]]
_Key = tuple[str, str]
"""Session and run."""

_PLAYLIST = re.compile(r"/gradio_api/stream/([^/]+)/([^/]+)/.+", re.DOTALL)
_PLAYED_S = 60.0
"""After a player asked for something, or something was added; players ask seconds ahead."""
_PLAYED = 4
"""Films that one visitor may play at once; of more, which programs can ask for, those made last."""
_KNOWN_SESSIONS = 16384


@dataclass(frozen=True)
class _Run:
    """What one call streamed."""

    asker: Asker
    streams: tuple[MediaStream, ...]
    segments: int
    size_bytes: int
    added_s: float
    asked_s: float

    @property
    def touched_s(self) -> float:
        return max(self.added_s, self.asked_s)

    @property
    def is_whole(self) -> bool:
        return all(stream.ended for stream in self.streams)


class Streams:
    """Of one app's pages, whose functions are all there: it enters around them to know who calls. Thread-safe.

    age_s: they go when nothing was added for so long; most_bytes: of all segments together; now_s: never goes back.
    """

    def __init__(
        self,
        blocks: Blocks,
        browsers: Browsers,
        *,
        age_s: float,
        most_bytes: int = UiConfig.streamed_max_bytes,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blocks = blocks
        self._browsers = browsers
        self._age_s = age_s
        self._most_bytes = most_bytes
        self._now_s = now_s
        self._lock = threading.Lock()
        self._askers: OrderedDict[str, Asker] = OrderedDict()
        """Of sessions, the one that called longest ago first."""
        self._asked_s: dict[_Key, float] = {}
        self._seen: dict[_Key, _Run] = {}
        for function in blocks.fns.values():
            if function.fn:
                function.fn = inside(self._noted, function.fn)

    def ask(self, session: str, run: str) -> None:
        """A player wants something of it."""
        if run in self._blocks.pending_streams.get(session, {}):
            self._asked_s[session, run] = self._now_s()

    def forget_old(self) -> None:
        """Drop what is too old, then what is too much: of whoever has most, what nobody plays, the oldest first."""
        now_s = self._now_s()
        self._seen = dict(self._runs(now_s))
        self._asked_s = {key: asked_s for key, asked_s in list(self._asked_s.items()) if key in self._seen}
        for key in [key for key, run in self._seen.items() if now_s - run.added_s > self._age_s]:
            self._forget(key)
        for key in _surplus(self._seen, self._most_bytes, now_s):
            self._forget(key)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        request = LocalContext.request.get(None)
        session = getattr(request, "session_hash", None)
        if session:
            with self._lock:
                self._askers[session] = self._browsers.asker()
                self._askers.move_to_end(session)
                if len(self._askers) > _KNOWN_SESSIONS:
                    self._askers.popitem(last=False)
        yield

    def _runs(self, now_s: float) -> Iterator[tuple[_Key, _Run]]:
        for session, runs in list(self._blocks.pending_streams.items()):
            for name, streams in list(runs.items()):
                before = self._seen.get((session, name))
                parts = [part for stream in list(streams.values()) for part in list(stream.segments)]
                yield (
                    (session, name),
                    _Run(
                        asker=before.asker if before else self._askers.get(session, Asker()),
                        streams=tuple(streams.values()),
                        segments=len(parts),
                        size_bytes=sum(len(part["data"]) for part in parts),
                        added_s=before.added_s if before and before.segments == len(parts) else now_s,
                        asked_s=self._asked_s.get((session, name), -float("inf")),
                    ),
                )

    def _forget(self, key: _Key) -> None:
        session, name = key
        pending, gone = self._blocks.pending_streams, self._seen.pop(key)
        runs = pending.get(session, {})
        runs.pop(name, None)
        if not runs and (begun := pending.pop(session, None)):
            pending[session].update(begun)  # meanwhile, in Gradio's own thread
        self._asked_s.pop(key, None)
        for stream in gone.streams:
            stream.end_stream()


class Players:
    """Middleware, behind ui/shutters.py: what players ask for is told to `streams`."""

    def __init__(self, app: Asgi, streams: Streams) -> None:
        self._app = app
        self._streams = streams

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] == "http" and (found := _PLAYLIST.fullmatch(asked_route(str(scope["path"])))):
            self._streams.ask(found[1], found[2])
        await self._app(scope, receive, send)


def _surplus(runs: Mapping[_Key, _Run], most_bytes: int, now_s: float) -> Iterator[_Key]:
    """Without these the others take no more than so many bytes, or are all being made or played."""
    total, of_address, of_visitor = 0, Counter[str](), Counter[str]()
    for run in runs.values():
        total += run.size_bytes
        of_address[run.asker.address or run.asker.visitor] += run.size_bytes
        of_visitor[run.asker.visitor] += run.size_bytes
    idle = _idle(runs, now_s)
    while total > most_bytes and idle:
        asker = max(idle, key=lambda one: (of_address[one.address or one.visitor], of_visitor[one.visitor]))
        key = idle[asker].pop()
        if not idle[asker]:
            del idle[asker]
        size = runs[key].size_bytes
        total -= size
        of_address[asker.address or asker.visitor] -= size
        of_visitor[asker.visitor] -= size
        yield key


def _idle(runs: Mapping[_Key, _Run], now_s: float) -> dict[Asker, list[_Key]]:
    """What nobody plays, by whose it is; what was touched longest ago last."""
    played, idle = Counter[Asker](), defaultdict[Asker, list[_Key]](list)
    whole = [key for key, run in runs.items() if run.is_whole]
    for key in sorted(whole, key=lambda one: runs[one].added_s, reverse=True):
        run = runs[key]
        if now_s - run.touched_s <= _PLAYED_S and played[run.asker] < _PLAYED:
            played[run.asker] += 1
        else:
            idle[run.asker].append(key)
    for keys in idle.values():
        keys.sort(key=lambda one: runs[one].touched_s, reverse=True)
    return idle
