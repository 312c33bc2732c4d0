"""The ranks that compute together: orders go to all of them, the first one's answers come back when all are done.

One group is one generation: when any rank is lost, all are. Made and watched by supervisor.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

from flashtalk.config import Config
from flashtalk.config_file import to_tree
from flashtalk.serving.launch import Rank, is_ending, meeting_place
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
    is_fine,
)

Loss = Literal["died", "hung", "wrong"]
Answer = Opened | Chunk | Failed | Checked

SLOW_FACTOR = 4.0
"""A rank that was seen to need t seconds for a part of its work may need so many times t without being stuck."""
MISSED_BEATS = 2
"""A rank that is late by so many may have been killed."""
START_SILENCE_S = 60.0
"""A rank that is built beats, too, once its libraries are loaded, which takes some seconds after the first time."""
FORGET = 0.99
"""By how much the longest time seen shrinks with each beat."""

_log = logging.getLogger(__name__)


def of_successor(config: Config) -> Config:
    """For all groups but the first, which read every byte of the weights: visitors wait meanwhile."""
    return replace(config, checkpoint=replace(config.checkpoint, verify="size"))


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

    def is_late(self, now_s: float, beat_s: float) -> bool:
        """Whether beats are missing; a busy machine may be why."""
        return now_s - self._beat_s > MISSED_BEATS * beat_s

    def hangs(self, now_s: float, hang_s: float, patience_s: float) -> bool:
        """Silent for `hang_s`, or beating without progress for so long that being slow is no excuse."""
        allowed_s = max(hang_s, patience_s, SLOW_FACTOR * self._slowest_s)
        return now_s - self._beat_s > hang_s or now_s - self._progress_s > allowed_s


class RankGroup:
    """See the module's docstring. `on_answer` and `on_change` are called from threads of the group, without locks.

    Raises OSError, RuntimeError and MemoryError if a rank or a thread cannot be started; then none is left.
    """

    def __init__(
        self,
        make_rank: Callable[[], Rank],
        config: Config,
        warm_up: bool,
        on_answer: Callable[[RankGroup, Answer], None],
        on_change: Callable[[], None],
    ) -> None:
        self.info: dict[str, object] | None = None
        """Fields of EngineInfo, the first rank's, once all ranks are ready."""
        self.refused: Failed | None = None
        """Why no engine could be built."""
        self.lost: Loss | None = None
        self._world = config.parallel.ranks
        self._on_answer = on_answer
        self._on_change = on_change
        self._lock = threading.Lock()
        self._ready: dict[int, Ready] = {}
        self._answers: dict[int, Answer | Done] = {}
        self._beat_s, self._hang_s = config.serving.beat_s, config.serving.hang_s
        self._start_s, self._began_s = config.serving.start_s, time.monotonic()
        self._vitals = [Vitals(time.monotonic()) for _ in range(self._world)]
        self._meeting = ExitStack()
        self._ranks: list[Rank] = []
        self._threads: list[threading.Thread] = []
        try:
            meet_at = self._meeting.enter_context(meeting_place(self._world))
            for _ in range(self._world):
                self._ranks.append(make_rank())
            self._begin(to_tree(config), meet_at, warm_up)
        except Exception:
            self.stop()
            raise

    @property
    def processes(self) -> tuple[int, ...]:
        """Of the ranks that are ready, in their order."""
        return tuple(self._ready[rank].process for rank in sorted(self._ready))

    def send(self, order: Order) -> None:
        """To all ranks; may wait for one that does not read. What fails is told by `lost`."""
        if not isinstance(order, Close):
            with self._lock:
                self._answers.clear()
        for rank in self._ranks:
            self._send(rank.channel, order)

    def check(self, now_s: float, patience_s: float) -> None:
        """Find out whether a rank hangs or is dying; `patience_s` is granted to work that may rightly take long."""
        if any(self._vitals[i].is_late(now_s, self._beat_s) and is_ending(r.process) for i, r in self._ready.items()):
            self.lose("died")
        elif any(vitals.hangs(now_s, self._hang_s, patience_s) for vitals in self._vitals):
            self.lose("hung")

    def check_start(self, now_s: float, *, is_first: bool) -> None:
        """The same before all are ready; the first group may be silent for as long as it may take."""
        silence_s = self._start_s if is_first else max(self._hang_s, START_SILENCE_S)
        is_silent = any(vitals.hangs(now_s, silence_s, self._start_s) for vitals in self._vitals)
        if is_silent or now_s - self._began_s > self._start_s:
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
        at_once = self.lost is not None
        for rank in self._ranks:
            rank.channel.close()  # all leave at the same time, none waits for its turn
        for rank in self._ranks:
            rank.stop(at_once=at_once)
        self._meeting.close()
        for thread in self._threads:
            thread.join()

    def _begin(self, config: dict[str, object], meet_at: str, warm_up: bool) -> None:
        for number, rank in enumerate(self._ranks):
            name = f"rank-{number}"
            thread = threading.Thread(target=self._listen, args=(number, rank.channel), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
            start = Start(config=config, rank=number, world=self._world, meet_at=meet_at, warm_up=warm_up)
            self._send(rank.channel, start)

    def _send(self, channel: Channel, message: Message) -> None:
        try:
            channel.send(message)
        except OSError:
            self.lose("died")
        except Exception:
            _log.exception("a rank could not be told something")
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
                self._ready[rank] = message
                self._vitals[rank] = Vitals(time.monotonic())  # building is slow in parts, and tells nothing of later
                if len(self._ready) == self._world:
                    self.info = self._ready[0].info
                    self._on_change()
            case Failed(stream=0):
                self.refused = self.refused or message  # others then tell that they lost this one
            case Opened() | Chunk() | Failed() | Checked() | Done():
                self._hear_answer(rank, message)

    def _hear_answer(self, rank: int, answer: Answer | Done) -> None:
        with self._lock:
            self._answers[rank] = answer
            if len(self._answers) < self._world:
                return
            first, fine = self._answers[0], all(is_fine(answer) for answer in self._answers.values())
        if isinstance(first, Done) or (is_fine(first) and not fine):
            _log.error("a rank could not do what the first one did: they are out of step")
            self.lose("wrong")
        else:
            self._on_answer(self, first)

    def lose(self, why: Loss) -> None:
        """It is of no use any more."""
        if self.lost is None:
            self.lost = why
            self._on_change()
