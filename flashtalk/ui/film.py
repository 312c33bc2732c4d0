"""Makes one film: frames from the client, sound from the visitor's own track, segments out as they come.

Called by ui/tabs (upload, compare). The engine runs ahead in its own thread; the page takes segments from a queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import SessionClosed
from flashtalk.media.encode import MediaFormat
from flashtalk.media.label import label_frames
from flashtalk.media.segments import Segment, SegmentStream
from flashtalk.serving.protocol import Client, Stream
from flashtalk.types import VideoChunk
from flashtalk.ui.material import TRACK_RATE, Voice

LOOKAHEAD_FRAMES = 10
"""The whole sound is known, so the last frames of a chunk may hear what comes after it."""
_AHEAD_CHUNKS = 16
_PATIENCE_S = 120.0
"""Longest wait for a chunk before the film counts as lost."""
_TICK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Order:
    """What film is wanted. `changes` are fields of StreamConfig; portrait_HWC is RGB uint8.

    model: one of the client's variants, "" for the engine itself. watched: it plays while it is made.
    """

    portrait_HWC: np.ndarray = field(repr=False)
    voice: Voice = field(repr=False)
    prompt: str = ""
    seed: int = 0
    label: bool = True
    model: str = ""
    watched: bool = False
    changes: Mapping[str, object] = field(default_factory=dict)


def engine_of(client: Client, model: str) -> Client:
    """What makes films of this model: a variant of the client, or itself for "". InputError for an unknown one."""
    return client.variant(model) if model else client


def stream_changes(seed: int, changes: Mapping[str, object]) -> dict[str, Any]:
    """Settings of a film's stream, for Client.stream and Client.open."""
    return {"seed": seed, "lookahead_frames": LOOKAHEAD_FRAMES, **changes}


@dataclass(frozen=True)
class Made:
    """One chunk of the film. frames_FHWC: as the model made them.

    at_s: seconds of making, from the seat on; no line and no start of an engine is in it. took_s: since the chunk
    before; for the first one what it took by itself, without the portrait.
    """

    segment: Segment
    frames_FHWC: np.ndarray = field(repr=False)
    frames_done: int
    at_s: float
    took_s: float


@dataclass(frozen=True)
class InLine:
    """The house is full; 1 is next. is_starting: its engine is being started again, which all wait for."""

    place: int
    is_starting: bool = False


Event = Made | InLine
_Message = Event | BaseException | None


class Film:
    """One film in the making; a context: leaving it stops the work. Iterate over it for events as they come.

    Raises InputError and ConfigError for settings that the model cannot do.
    """

    def __init__(self, client: Client, order: Order) -> None:
        self._client = engine_of(client, order.model)
        self._order = order
        self.stream = self._client.stream(**stream_changes(order.seed, order.changes))
        self.frames_total = -(-len(order.voice.speech_S) // self.stream.samples_per_frame)
        self._messages: queue.Queue[_Message] = queue.Queue(_AHEAD_CHUNKS)
        self._stop = threading.Event()
        self._seat: Stream | None = None
        self._started_s = 0.0
        self._last_s = 0.0
        self._thread = threading.Thread(target=self._work, name="film", daemon=True)

    def __enter__(self) -> Film:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Stop now and free the seat; allowed at any time, from any thread."""
        self._stop.set()
        if self._seat:
            self._seat.close()

    @property
    def chunk_frames(self) -> int:
        """Frames that a chunk adds."""
        return self.stream.chunk_frames - self.stream.motion_frames

    @property
    def model(self) -> EngineInfo:
        """What makes it."""
        return self._client.info

    @property
    def visitors(self) -> int:
        """Who share its model now, itself included."""
        return self._client.status().seats_used

    def __iter__(self) -> Iterator[Event | None]:
        """What happens, until the film is complete or cancelled; None now and then. Raises what the client raises."""
        while not self._stop.is_set():
            try:
                message = self._messages.get(timeout=_TICK_S)
            except queue.Empty:
                yield None
                continue
            if message is None:
                return
            if isinstance(message, BaseException):
                raise message
            yield message

    def _work(self) -> None:
        try:
            self._make()
        except SessionClosed as error:
            self._tell(None if self._stop.is_set() else error)
        except BaseException as error:
            self._tell(error)
        else:
            self._tell(None)

    def _make(self) -> None:
        order, stream = self._order, self.stream
        tracks = order.voice.track_SC.shape[1]
        media = MediaFormat(width=stream.width, height=stream.height, sample_rate=TRACK_RATE, channels=tracks)
        segments, done = SegmentStream(media), 0
        with self._open() as seat:
            self._seat = seat
            self._started_s = max(self._started_s, seat.seated_s)
            seat.feed(order.voice.speech_S)
            seat.finish()
            while not self._stop.is_set() and (chunk := seat.next(_PATIENCE_S)) is not None:
                first, done = done, done + len(chunk.frames_FHWC)
                self._tell(self._encode(segments, chunk, first, done))

    def _open(self) -> Stream:
        order = self._order
        return self._client.open(
            order.portrait_HWC,
            prompt=order.prompt,
            realtime=order.watched,
            on_place=self._wait_in_line,
            **stream_changes(order.seed, order.changes),
        )

    def _encode(self, segments: SegmentStream, chunk: VideoChunk, first: int, done: int) -> Made:
        got_s, last = self._clock_s(), done >= self.frames_total
        per_frame = TRACK_RATE // self.stream.fps
        samples = self._order.voice.track_SC[first * per_frame : None if last else done * per_frame]
        frames_FHWC = label_frames(chunk.frames_FHWC) if self._order.label else chunk.frames_FHWC
        segment = segments.encode(frames_FHWC, samples, last=last)
        began_s = self._last_s if first else got_s - chunk.timings_s.get("total", got_s)
        self._last_s = self._clock_s()
        return Made(segment, chunk.frames_FHWC, done, self._last_s, self._last_s - began_s)

    def _clock_s(self) -> float:
        """Since making began."""
        return time.monotonic() - self._started_s

    def _wait_in_line(self, place: int) -> None:
        if self._stop.is_set():
            raise SessionClosed("the visitor left the line")
        self._tell(InLine(place, is_starting=not self._client.status().ready))
        self._started_s = time.monotonic()

    def _tell(self, message: _Message) -> None:
        """Hand over, unless nobody listens any more."""
        while not self._stop.is_set():
            try:
                self._messages.put(message, timeout=_TICK_S)
            except queue.Full:
                continue
            return
