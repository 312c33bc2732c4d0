"""The ranks that compute together: orders go to all of them, the first one's answers come back when all are done.

One group is one generation: when any rank is lost, all are. Made and watched by supervisor.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from flashtalk.config import Config
from flashtalk.config_file import to_tree
from flashtalk.serving.launch import Rank
from flashtalk.serving.messages import (
    Beat,
    BrokenMessage,
    Channel,
    Checked,
    Chunk,
    Close,
    Done,
    Failed,
    Message,
    Opened,
    Order,
    Ready,
    Start,
)

Loss = Literal["died", "hung", "wrong"]
Answer = Opened | Chunk | Failed | Checked

SLOW_FACTOR = 4.0
"""A rank that was seen to need t seconds for a part of its work may need so many times t without being stuck."""
FORGET = 0.99
"""By how much the longest time seen shrinks with each beat."""

_log = logging.getLogger(__name__)


class Vitals:
    """What a rank's beats tell: how long since the last one, and since the last that told of progress."""

    def __init__(self, now_s: float) -> None:
        self._beat_s = self._progress_s = now_s
        self._progress = -1
        self._slowest_s = 0.0

    def beat(self, progress: int, now_s: float) -> None:
        """One came."""
        self._beat_s = now_s
        self._slowest_s *= FORGET
        if progress != self._progress:
            self._slowest_s = max(self._slowest_s, now_s - self._progress_s)
            self._progress, self._progress_s = progress, now_s

    def forgive(self, now_s: float) -> None:
        """The listener itself was away: nothing was heard, and nobody is to blame."""
        self._beat_s = self._progress_s = now_s

    def age_s(self, now_s: float) -> float:
        """Seconds without a beat or without progress, the longer."""
        return now_s - min(self._beat_s, self._progress_s)

    def hangs(self, now_s: float, hang_s: float, patience_s: float) -> bool:
        """Silent for `hang_s`, or beating without progress for so long that being slow is no excuse."""
        allowed_s = max(hang_s, patience_s, SLOW_FACTOR * self._slowest_s)
        return now_s - self._beat_s > hang_s or now_s - self._progress_s > allowed_s


class RankGroup:
    """See the module's docstring. `on_answer` and `on_change` are called from threads of the group, without locks."""

    def __init__(
        self,
        ranks: Sequence[Rank],
        config: Config,
        warm_up: bool,
        on_answer: Callable[[RankGroup, Answer], None],
        on_change: Callable[[], None],
    ) -> None:
        self.info: dict[str, object] | None = None
        """Fields of EngineInfo once all ranks are ready."""
        self.refused: Failed | None = None
        """Why no engine could be built."""
        self.lost: Loss | None = None
        self._ranks = ranks
        self._on_answer = on_answer
        self._on_change = on_change
        self._lock = threading.Lock()
        self._ready: dict[int, int] = {}
        self._working: set[int] = set()
        self._answer: Answer | None = None
        self._hang_s = config.serving.hang_s
        self._vitals = [Vitals(time.monotonic()) for _ in ranks]
        tree = to_tree(config)
        self._threads = [
            threading.Thread(target=self._listen, args=(i, rank.channel), name=f"rank-{i}", daemon=True)
            for i, rank in enumerate(ranks)
        ]
        for i, (rank, thread) in enumerate(zip(ranks, self._threads, strict=True)):
            thread.start()
            self._send(rank.channel, Start(config=tree, rank=i, world=len(ranks), warm_up=warm_up))

    @property
    def processes(self) -> tuple[int, ...]:
        """Of the ranks that are ready, in their order."""
        return tuple(self._ready[rank] for rank in sorted(self._ready))

    def send(self, order: Order) -> None:
        """To all ranks; may wait for one that does not read. What fails is told by `lost`."""
        if not isinstance(order, Close):
            with self._lock:
                self._working, self._answer = set(range(len(self._ranks))), None
        for rank in self._ranks:
            self._send(rank.channel, order)

    def check(self, now_s: float, patience_s: float) -> None:
        """Find out whether a rank hangs; `patience_s` is granted to work that may rightly take long."""
        if any(vitals.hangs(now_s, self._hang_s, patience_s) for vitals in self._vitals):
            self.lose("hung")

    def forgive(self, now_s: float) -> None:
        """See Vitals."""
        for vitals in self._vitals:
            vitals.forgive(now_s)

    def age_s(self, now_s: float) -> float:
        """Seconds since every rank last made progress."""
        return max(vitals.age_s(now_s) for vitals in self._vitals)

    def stop(self) -> None:
        """End all ranks and wait until they are gone."""
        for rank in self._ranks:
            rank.stop(at_once=self.lost is not None)
        for thread in self._threads:
            thread.join()

    def _send(self, channel: Channel, message: Message) -> None:
        try:
            channel.send(message)
        except OSError:
            self.lose("died")

    def _listen(self, rank: int, channel: Channel) -> None:
        try:
            while True:
                message = channel.receive()
                if message is not None:
                    self._hear(rank, message)
        except (EOFError, OSError):
            pass
        except BrokenMessage as error:
            _log.error("rank %d sent %s", rank, error)
        except Exception:
            _log.exception("what rank %d said could not be taken", rank)
        self.lose("died")

    def _hear(self, rank: int, message: Message) -> None:
        match message:
            case Beat():
                self._vitals[rank].beat(message.progress, time.monotonic())
            case Ready():
                self._ready[rank] = message.process
                self._vitals[rank] = Vitals(time.monotonic())  # building is slow in parts, and tells nothing of later
                if len(self._ready) == len(self._ranks):
                    self.info = message.info
                    self._on_change()
            case Failed(stream=0):
                self.refused = message
            case Opened() | Chunk() | Failed() | Checked() | Done():
                self._hear_answer(rank, None if rank or isinstance(message, Done) else message)

    def _hear_answer(self, rank: int, answer: Answer | None) -> None:
        with self._lock:
            self._working.discard(rank)
            self._answer = answer or self._answer
            whole = None if self._working else self._answer
        if whole:
            self._on_answer(self, whole)

    def lose(self, why: Loss) -> None:
        """It is of no use any more."""
        if self.lost is None:
            self.lost = why
            self._on_change()
