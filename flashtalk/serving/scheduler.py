"""Whose chunk is computed next: the stream whose visitor would run dry first; and how long it may take without a sign.

Pure arithmetic on monotonic seconds. Called by supervisor.py, which holds one Pace for each seat.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from flashtalk.config import Config
from flashtalk.config_app import LiveConfig
from flashtalk.serving.messages import Order

BACKGROUND_SLACK_S = 3.0
"""A stream that nobody watches live is as urgent as one that is watched and has so much more in hand."""
BACKGROUND_PATIENCE_S = 6.0
"""It gets a chunk at least this often, however busy the house is."""


class Pace:
    """When a stream's visitor runs dry, if it plays from its first chunk on and stops while there is nothing."""

    def __init__(self, now_s: float, *, realtime: bool) -> None:
        self._realtime = realtime
        self._dry_s = now_s
        self._served_s = now_s

    def deadline_s(self) -> float:
        """The next chunk should be there by then."""
        if self._realtime:
            return self._dry_s
        return min(self._dry_s + BACKGROUND_SLACK_S, self._served_s + BACKGROUND_PATIENCE_S)

    def served(self, now_s: float, duration_s: float) -> None:
        """A chunk came that plays for `duration_s`."""
        self._dry_s = max(self._dry_s, now_s) + duration_s
        self._served_s = now_s

    def restart(self, now_s: float) -> None:
        """What was in hand was thrown away: an interruption."""
        self._dry_s = now_s


class Paced(Protocol):
    """What waits for its turn."""

    pace: Pace
    number: int


Waiting = TypeVar("Waiting", bound=Paced)


def most_urgent(waiting: Iterable[Waiting]) -> Waiting | None:
    """The one whose deadline is nearest; of equals the one who came first."""
    return min(waiting, key=lambda one: (one.pace.deadline_s(), one.number), default=None)


Shape = tuple[int, ...]
"""Of a chunk: width, height, frames."""


@dataclass(frozen=True)
class Work:
    """What an engine does now."""

    order: Order
    began_s: float
    shape: Shape | None
    """Of the chunk, if it is one: its seat may be gone or elsewhere when it comes."""


class Shapes:
    """Those for which a compiled engine has compiled; for another it does so first, which shows no progress.

    warm: it was warmed up for visitors (worker.py), not only built.
    """

    def __init__(self, config: Config, *, warm: bool) -> None:
        stream = config.stream
        lengths = {stream.first_chunk_frames, stream.chunk_frames, *([live_frames(config)] if warm else [])}
        self._known: set[Shape] = {(stream.width, stream.height, frames) for frames in lengths}
        self._compiles, self._compiling_s = config.runtime.compile, config.serving.start_s

    def patience_s(self, work: Work | None) -> float:
        """How long this may rightly take without progress."""
        is_new = self._compiles and work is not None and work.shape is not None and work.shape not in self._known
        return self._compiling_s if is_new else 0.0

    def made(self, work: Work) -> None:
        """It is done."""
        if work.shape:
            self._known.add(work.shape)


def live_frames(config: Config) -> int:
    """Frames of the chunk that a live conversation begins with."""
    return min(LiveConfig.first_chunk_frames, config.stream.chunk_frames)
