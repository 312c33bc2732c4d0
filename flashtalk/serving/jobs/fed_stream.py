"""A stream that says a job's voice: before each chunk it is given just the sound that this takes. Called by span.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from flashtalk.errors import EngineError
from flashtalk.serving.jobs.record import Job
from flashtalk.serving.jobs.render import Wish, next_chunk, stop_if_wished
from flashtalk.serving.jobs.sound import read_voice
from flashtalk.serving.protocol import Stream
from flashtalk.types import VideoChunk


class FedStream:
    """frames: where it stands. given: samples that it got by then; None: those of the chunks up to `frames`."""

    def __init__(self, stream: Stream, job: Job, voice: Path, frames: int, given: int | None) -> None:
        self.stream = stream
        self.frames = frames
        self._job = job
        self._voice = voice
        self.given = job.fed_until(frames) if given is None else given

    @property
    def sound_ended(self) -> bool:
        """Whether all of the voice was given."""
        return self.given == self._job.samples

    def chunks(self, end: int, wish: Callable[[], Wish]) -> Iterator[VideoChunk]:
        """Those up to frame `end`. Raises Stopped, EngineError(film_short)."""
        while self.frames < end:
            stop_if_wished(wish)
            self._feed()
            chunk = next_chunk(self.stream, wish)
            if chunk is None:
                raise EngineError("The engine ended this film too soon; try again.", code="film_short")
            self.frames += len(chunk.frames_FHWC)
            yield chunk

    def _feed(self) -> None:
        until = self._job.fed_until(self._job.after_next(self.frames))
        if until > self.given:
            self.stream.feed(read_voice(self._voice, self.given, until))
        self.given = until
        if self.sound_ended:
            self.stream.finish()
