"""The last resort: the same live session through Gradio's own streaming microphone and video, without our socket.

Called by ui/tabs/microphone.py. Slower by a second or two, and works where only plain requests pass.
"""

from __future__ import annotations

import io
import itertools
import math
import queue
import threading
import wave
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from flashtalk.config import StreamConfig
from flashtalk.config_app import LiveConfig
from flashtalk.errors import EngineError, InputError, Overloaded
from flashtalk.media.encode import MediaFormat
from flashtalk.media.label import label_frames
from flashtalk.media.pcm import clean_pcm
from flashtalk.media.resample import Resampler
from flashtalk.media.segments import Segment, SegmentStream
from flashtalk.types import VideoChunk
from flashtalk.ui.live.messages import Kind, Outgoing, words
from flashtalk.ui.live.session import LiveSession

PIECE_S = 0.8
"""What Gradio sends at a time: it uploads each piece, so shorter ones would exceed what a visitor may ask for."""
PIECES_PER_MINUTE = math.ceil(60 / PIECE_S)
_SOUND_RATE = 48000
_HEARD_RATE = 16000
_FED = 640
_MOST_PIECE_S = 5.0
_HEAD_BYTES = 4096
"""Within these the samples begin; a file may have millions of words before them, each of which is looked at."""
_MOST_SEGMENT_S = 1.0
_SEGMENTS_AT_FIRST = 3
_LOST_S = 2.0
"""So much less than the clock shows may be on its way; more was lost."""
_UNHEARD_S = 30.0
"""Gradio's page begins before the visitor allows the microphone, and leaves us to it if that is refused."""
_WAITING = 64
_BEAT_S = 0.5


class SegmentsPacker:
    """Chunks to MPEG-TS segments whose timestamps go on for the whole conversation."""

    def __init__(self, stream: StreamConfig, settings: LiveConfig) -> None:
        self._label = settings.label
        size = {"width": stream.width, "height": stream.height, "fps": stream.fps, "crf": settings.crf}
        self._segments = SegmentStream(MediaFormat(**size, sample_rate=_SOUND_RATE, preset="ultrafast"))
        self._resampler = Resampler(stream.sample_rate, _SOUND_RATE, 1)

    def begin(self, epoch: int, at_s: float) -> Iterator[Outgoing]:  # noqa: ARG002
        """Players of this kind know no new beginnings: all is one film."""
        return iter(())

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Outgoing]:
        """Segments of a second at most: players look for more once in the longest length that Gradio's list names.

        That length may not change while they play (RFC 8216, 6.2.1), and so it is a second from the beginning on.
        """
        frames_FHWC = label_frames(chunk.frames_FHWC) if self._label else chunk.frames_FHWC
        parts = math.ceil(chunk.duration_s / _MOST_SEGMENT_S)
        sounds = np.array_split(self._resampler.push(chunk.samples[None])[0], parts)
        for pictures_FHWC, sound_S in zip(np.array_split(frames_FHWC, parts), sounds, strict=True):
            data, length_s = self._segments.encode(pictures_FHWC, sound_S).data, len(pictures_FHWC) / chunk.fps
            start_s += length_s
            yield Outgoing(data, Kind.SEGMENT, key=True, end_s=start_s, length_s=length_s)


class SegmentsBox:
    """What waits for Gradio's video; a sink of a live session. Thread-safe."""

    pictures_dropped = 0

    def __init__(self) -> None:
        self._waiting: queue.Queue[Outgoing | None] = queue.Queue(_WAITING)

    def put(self, message: Outgoing) -> None:
        """Keep segments and errors. Raises EngineError if nobody takes them."""
        if message.kind is not None or '"type":"error"' in str(message.data):
            try:
                self._waiting.put_nowait(message)
            except queue.Full:
                raise EngineError("The video is not being watched any more.", code="live_unwatched") from None

    def restart(self, at_s: float) -> None:
        """What waits is played to its end: this kind of player cannot take it back."""

    def close(self) -> None:
        """No more will come."""
        with suppress(queue.Full):  # a full box has an ended session, which its reader sees
            self._waiting.put_nowait(None)

    def segments(self, session: LiveSession) -> Generator[Segment]:
        """Until the session ends; leaving early ends the session. Raises InputError with the session's last words.

        The first ones come together: Chromium's own player gives up a growing list that it finds with a single one.
        """
        try:
            coming = self._coming(session)
            first = list(itertools.islice(coming, _SEGMENTS_AT_FIRST))
            yield from first
            yield from coming
        finally:
            session.close()

    def _coming(self, session: LiveSession) -> Iterator[Segment]:
        while not session.ended or not self._waiting.empty():
            try:
                message = self._waiting.get(timeout=_BEAT_S)
            except queue.Empty:
                continue
            if message is None:
                return
            if isinstance(message.data, str):
                raise InputError(words(message.data)["message"], code=words(message.data)["code"])
            yield Segment(message.data, message.length_s)


class PlainTalk:
    """One conversation in the plain mode: Gradio's recordings in, one film out."""

    def __init__(self, session: LiveSession) -> None:
        self._session, self._box = session, SegmentsBox()
        self._heard, self._unheard_s = Heard(), 0.0
        self._packers: dict[tuple[int, int, int, int], SegmentsPacker] = {}
        session.attach(self._box, self._packer)

    def segments(self) -> Generator[Segment]:
        """See SegmentsBox. Raises InputError(microphone_silent) after `_UNHEARD_S` of film without any recording."""
        with closing(self._box.segments(self._session)) as coming:
            for segment in coming:
                self._unheard_s += segment.duration_s
                if self._unheard_s > _UNHEARD_S:
                    raise InputError(
                        "Nothing comes from your microphone. Allow it beside the page's address, and press again.",
                        code="microphone_silent",
                    )
                yield segment

    def hear(self, samples_S: np.ndarray, now_s: float) -> bool:
        """A piece of the microphone, 16 kHz; False if pieces before it were lost, which is said once for each loss.

        Gradio keeps one piece for us at a time: on a busy machine the next one takes its place before we see it.
        """
        self._unheard_s = 0.0
        for start in range(0, len(samples_S), _FED):
            self._session.hear(samples_S[start : start + _FED])
        return self._heard.all_of(len(samples_S) / _HEARD_RATE, now_s)

    def close(self) -> None:
        """The microphone was stopped."""
        self._session.close()

    def _packer(self, stream: StreamConfig, settings: LiveConfig) -> SegmentsPacker:
        """The one film goes on with a stream that takes another's place: only its steps are others."""
        shape = stream.width, stream.height, stream.fps, stream.sample_rate
        if shape not in self._packers:
            self._packers[shape] = SegmentsPacker(stream, settings)
        return self._packers[shape]


class PlainRoom:
    """What talks that go on have in memory, where Gradio keeps the whole of each. Thread-safe. most_bytes: of all."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._sizes: dict[object, int] = {}

    def within(self, segments: Generator[Segment]) -> Generator[Segment]:
        """The same of one talk. Raises Overloaded(live_long) when it has half of all, or the most when all is taken."""
        talk = object()
        try:
            with closing(segments):
                for segment in segments:
                    self._take(talk, len(segment.data))
                    yield segment
        finally:
            with self._lock:
                self._sizes.pop(talk, None)

    def _take(self, talk: object, size: int) -> None:
        with self._lock:
            self._sizes[talk] = own = self._sizes.get(talk, 0) + size
            sizes = self._sizes.values()
            is_full = sum(sizes) > self._most_bytes and own == max(sizes)
        if is_full or own > self._most_bytes / 2:
            message = "This conversation is as long as the plain mode can keep; record again to begin a new one."
            raise Overloaded(message, code="live_long")


class Heard:
    """Compares what came of a recording with the clock."""

    def __init__(self) -> None:
        self._begin_s: float | None = None
        self._heard_s = self._told_s = 0.0

    def all_of(self, piece_s: float, now_s: float) -> bool:
        """Whether nothing is missing but what was told already."""
        if self._begin_s is None:
            self._begin_s = now_s - piece_s
        self._heard_s += piece_s
        missing_s = now_s - self._begin_s - self._heard_s - self._told_s
        if missing_s < _LOST_S:
            return True
        self._told_s += missing_s
        return False


def read_piece(path: str) -> np.ndarray:
    """A short recording of Gradio's microphone (PCM in a WAV file) as float32 [S] at 16 kHz. Raises InputError."""
    try:
        with Path(path).open("rb") as whole, wave.open(io.BytesIO(whole.read(_HEAD_BYTES))):
            pass
        with wave.open(path, "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            # Before anything is read: a header may claim frames of any size.
            if width != 2 or not 8000 <= rate <= 192000 or channels not in (1, 2):
                raise InputError("The microphone's recording must be 16-bit PCM, 8 to 192 kHz.", code="audio_format")
            frames = file.readframes(round(_MOST_PIECE_S * rate))
    except (wave.Error, EOFError, OSError):
        raise InputError("The microphone's recording cannot be read; start again.", code="audio_unreadable") from None
    samples_S = clean_pcm(
        np.frombuffer(frames[: len(frames) // (2 * channels) * 2 * channels], "<i2").reshape(-1, channels)
    )
    resampler = Resampler(rate, _HEARD_RATE, 1)
    return np.concatenate([resampler.push(samples_S[None])[0], resampler.finish()[0]])
