"""One visitor's stream on the app's side: what to order next, what came back, and what to do it all again from.

Made by client.py; supervisor.py asks it for orders. It outlives engines: its sound since the last chunk and that
chunk's snapshot are here, so that another engine goes on with the same frames.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from flashtalk.config import StreamConfig
from flashtalk.config_app import ServingConfig
from flashtalk.config_file import to_tree
from flashtalk.errors import EngineError, FlashTalkError, InputError, SessionClosed, WorkerLost
from flashtalk.pipeline.session import REWINDABLE_CHUNKS
from flashtalk.pipeline.window import check_samples
from flashtalk.serving.messages import Chunk, Failed, Open, Opened, Restore, Step, error_of
from flashtalk.serving.saved_stream import SavedStream, write_stream
from flashtalk.serving.scheduler import Pace, Shape
from flashtalk.serving.sound_log import SoundLog
from flashtalk.types import VideoChunk

MAX_STRIKES = 2
"""A stream whose order lost the engine so many times in a row is not tried again."""
GIVEN_UP = "given_up"
"""The code of its WorkerLost: a new stream of the same picture would do the same."""


@dataclass(frozen=True)
class Beginning:
    """A stream that is new."""

    config: StreamConfig
    portrait_HWC: np.ndarray
    prompt: str


@dataclass(frozen=True)
class Surroundings:
    """What all seats of a house share."""

    serving: ServingConfig
    fingerprint: str
    """Of the engine; see Networks."""
    lock: threading.RLock
    """The supervisor's."""
    changed: Callable[[], None]
    """Tells the supervisor that there may be something to order."""


@dataclass(frozen=True)
class _Border:
    """Between two chunks: all that the engine needs to go on from here."""

    snapshot: bytes
    start: int
    """Sample with which the next chunk begins."""
    needs: int
    """Sample up to which sound must be there for it."""


class Seat:
    """See protocol.Stream."""

    def __init__(
        self,
        number: int,
        begin: Beginning | SavedStream,
        house: Surroundings,
        *,
        realtime: bool,
    ) -> None:
        self.number = number
        self.config = begin.config
        self.seated_s = self._active_s = time.monotonic()
        self.pace = Pace(self.seated_s, realtime=realtime)
        self._house = house
        self._news = threading.Condition(house.lock)
        self._opening: Beginning | None = None
        self._is_open = False
        self._epoch = 0
        self._borders: dict[int, _Border] = {}
        self._made = 0
        self._taken = 0
        self._sound = SoundLog()
        self._sent = 0
        self._finished = self._end_sent = False
        self._must_begin = True
        self._chunks: deque[VideoChunk] = deque()
        self._strikes = 0
        self._error: FlashTalkError | None = None
        self._closed = False
        if isinstance(begin, Beginning):
            self._opening = begin
        else:
            self._go_on(begin)

    # The visitor's side: protocol.Stream.

    def feed(self, samples_S: np.ndarray) -> None:
        """See Stream. InputError with code audio_ahead: more sound waits than ServingConfig.waiting_sound_s."""
        check_samples(samples_S)
        with self._news:
            self._check_open()
            most_s = self._house.serving.waiting_sound_s
            if self._sound.end - self._border.start > most_s * self.config.sample_rate:
                message = f"{most_s:g} s of sound wait already; take chunks before feeding more"
                raise InputError(message, code="audio_ahead")
            self._sound.append(np.array(samples_S, np.float32))
            self._stir()

    def finish(self) -> None:
        """See Stream."""
        with self._news:
            self._finished = True
            self._stir()

    def next(self, timeout_s: float) -> VideoChunk | None:
        """See Stream."""
        with self._news:
            self._news.wait_for(lambda: self._chunks or self.is_over, timeout_s)
            if self._chunks:
                chunk = self._chunks.popleft()
                self._taken = chunk.index + 1
                self._sound.forget(self._borders[self._taken].start)
                self._stir()
                return chunk
            if self._error:
                raise self._error
            if self._closed and not self._has_ended:
                raise SessionClosed("this stream is closed; open a new one")
            if not self.is_over:
                raise TimeoutError(f"no chunk within {timeout_s:g} s")
            return None

    def __iter__(self) -> Iterator[VideoChunk]:
        while (chunk := self.next(threading.TIMEOUT_MAX)) is not None:
            yield chunk

    def interrupt(self, shown_chunks: int | None = None) -> None:
        """See Stream."""
        with self._news:
            self._check_open()
            wanted = self._taken if shown_chunks is None else shown_chunks
            if wanted not in self._borders:
                raise InputError(
                    f"cannot go back to chunk {wanted}: this stream can go to {min(self._borders)}..{self._made}",
                    code="interrupt_range",
                )
            self._chunks.clear()
            self._borders = {index: border for index, border in self._borders.items() if index <= wanted}
            self._made = self._taken = wanted
            self._sound.drop_all(self._border.start)
            self._epoch += 1
            self.begin_again()
            self.pace.restart(time.monotonic())
            self._stir()

    def save(self, path: Path) -> None:
        """See Stream. What was computed after the last chunk taken is not in it."""
        with self._news:
            if self._closed:
                raise SessionClosed("this stream is closed; it can no longer be saved")
            border = self._borders[self._taken]
            waiting_S, ended = self._sound.read(border.start, self._sound.end), self._finished
        write_stream(path, border.snapshot, waiting_S, self._house.fingerprint, ended=ended)

    def close(self) -> None:
        """See Stream."""
        with self._news:
            self._closed = True
            self._stir()

    def __enter__(self) -> Seat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_open(self, timeout_s: float) -> bool:
        """Whether the engine took the portrait by then. Raises what it said about it, WorkerLost, SessionClosed."""
        with self._news:
            self._news.wait_for(lambda: self._is_open or self.is_over, timeout_s)
            if self._error:
                raise self._error
            if self._closed:
                raise SessionClosed("the house was closed before this stream was open; connect again")
            return self._is_open

    # The supervisor's side; it holds the lock.

    @property
    def is_over(self) -> bool:
        """Nothing will be ordered for it any more: ended, failed or closed."""
        return self._closed or self._error is not None or self._has_ended

    @property
    def shape(self) -> Shape:
        """Of the next chunk."""
        stream = self.config
        return stream.width, stream.height, stream.first_chunk_frames if self._made == 0 else stream.chunk_frames

    @property
    def has_order(self) -> bool:
        """Whether the engine could do something for it now."""
        if self.is_over:
            return False
        return self._must_begin or (self._made - self._taken < self._house.serving.ahead_chunks and self._has_sound)

    def order(self) -> Open | Restore | Step:
        """What the engine should do for it; `has_order` holds."""
        if not self._must_begin:
            return self._step()
        self._must_begin = False
        if self._borders:
            return Restore(stream=self.number, epoch=self._epoch, snapshot=self._border.snapshot)
        assert self._opening
        return Open(
            stream=self.number,
            epoch=self._epoch,
            settings=to_tree(self.config),
            portrait=self._opening.portrait_HWC,
            prompt=self._opening.prompt,
        )

    def answered(self, answer: Opened | Chunk | Failed, now_s: float) -> None:
        """Take what the engine says, unless an interruption made it old."""
        self._active_s = now_s
        if answer.epoch != self._epoch or self.is_over:
            return
        match answer:
            case Opened():
                snapshot = answer.snapshot or self._border.snapshot
                self._borders[self._made] = replace(self._border, snapshot=snapshot, needs=answer.needs)
                self._opening, self._is_open = None, True
            case Chunk():
                self._take_chunk(answer, now_s)
            case Failed():
                self._error = error_of(answer)
        self._news.notify_all()

    def begin_again(self) -> None:
        """The engine's session is gone, or no longer wanted: the next order restores it."""
        self._must_begin, self._end_sent, self._sent = True, False, self._border.start

    def strike(self) -> None:
        """The engine was lost over an order of this stream."""
        self._strikes += 1
        if self._strikes >= MAX_STRIKES:
            stopped = f"this stream stopped the engine {MAX_STRIKES} times and was given up"
            self.fail(WorkerLost(f"{stopped}; choose another picture or other settings, or try again", code=GIVEN_UP))

    def fail(self, error: FlashTalkError) -> None:
        """End it with these words; chunks that are there may still be taken."""
        if not self.is_over:
            self._error = error
            self._news.notify_all()
            self._house.changed()

    def forgive(self, now_s: float) -> None:
        """The machine stood still: the visitor could do nothing either."""
        self._active_s = now_s

    def end_if_idle(self, now_s: float) -> None:
        """Give up a stream that waits for its visitor for too long."""
        idle_s = self._house.serving.idle_s
        if not self.has_order and now_s - self._active_s > idle_s:
            self.fail(EngineError(f"nothing was heard or taken for {idle_s:g} s; the seat was given away", code="idle"))

    # Both.

    @property
    def _border(self) -> _Border:
        return self._borders.get(self._made) or _Border(b"", 0, 0)

    @property
    def _has_ended(self) -> bool:
        return self._finished and self._is_open and self._sound.end <= self._border.start

    @property
    def _has_sound(self) -> bool:
        border, end = self._border, self._sound.end
        return end >= border.needs or (self._finished and end > border.start)

    def _go_on(self, saved: SavedStream) -> None:
        self._made = self._taken = saved.chunks
        self._borders[saved.chunks] = _Border(saved.snapshot, saved.start, 0)
        self._sound.drop_all(saved.start)
        self._sound.append(saved.waiting_S)
        self._sent, self._finished = saved.start, saved.ended

    def _step(self) -> Step:
        chunk = (self.config.chunk_frames - self.config.motion_frames) * self.config.samples_per_frame
        # A chunk more than is needed: an engine with room to work ahead begins with its sound.
        end = min(self._sound.end, self._border.needs + chunk)
        is_last = self._finished and end == self._sound.end and not self._end_sent
        samples = self._sound.read(self._sent, end)
        self._sent, self._end_sent = max(self._sent, end), self._end_sent or is_last
        return Step(stream=self.number, epoch=self._epoch, samples=samples, end=is_last)

    def _take_chunk(self, chunk: Chunk, now_s: float) -> None:
        start = self._border.start + len(chunk.samples)
        self._made = chunk.index + 1
        self._borders[self._made] = _Border(chunk.snapshot, start, chunk.needs)
        oldest = min(self._made - REWINDABLE_CHUNKS, self._taken)
        self._borders = {index: border for index, border in self._borders.items() if index >= oldest}
        self._strikes = 0
        made = VideoChunk(
            chunk.index,
            chunk.first_frame,
            chunk.frames,
            chunk.samples,
            self.config.sample_rate,
            self.config.fps,
            chunk.timings,
        )
        self._chunks.append(made)
        self.pace.served(now_s, made.duration_s)

    def _stir(self) -> None:
        """The visitor did something."""
        self._active_s = time.monotonic()
        self._news.notify_all()
        self._house.changed()

    def _check_open(self) -> None:
        if self._error:
            raise self._error
        if self._closed or self._finished:
            raise SessionClosed("this stream's sound was ended by finish() or close(); open a new one")
