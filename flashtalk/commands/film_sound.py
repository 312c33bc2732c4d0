"""The two readings of a sound file that a film needs: the voice that drives it and the track that is heard in it.

Both stream: memory does not grow with the length. Used by generate.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.audio import probe_audio, read_audio
from flashtalk.pipeline.session import Session
from flashtalk.types import VideoChunk

TRACK_RATE = 48000
"""The film's sound keeps the source's quality; the 16 kHz mono that the model hears never gets into it."""


def check_sound(path: str, sample_rate: int) -> tuple[int, float | None]:
    """(channels of the film, seconds if the header tells). Reads the first second too. Raises InputError."""
    info = probe_audio(path)
    if next(read_audio(path, sample_rate=sample_rate), None) is None:
        raise InputError(
            "the sound is shorter than a sample of what the model hears; give a longer one", code="audio_empty"
        )
    return min(info.channels, 2), info.duration_s


class Voice:
    """Feeds a session from a file and gives its chunks. A restored session goes on at the sample where it stood."""

    def __init__(self, session: Session, path: str, *, ended: bool = False) -> None:
        self.ended = ended
        self._session = session
        self._path = path

    @property
    def last(self) -> bool:
        """Whether the chunk just given was the last one."""
        return self.ended and not self._session.ready()

    def chunks(self) -> Iterator[VideoChunk]:
        """What is left, in order."""
        yield from self._ready()
        rate, done = self._session.stream.sample_rate, self._session.samples_fed
        # Blocks of a second are shorter than a chunk, so that little sound waits in the session: under three chunks.
        blocks = iter(()) if self.ended else read_audio(self._path, sample_rate=rate, start_sample=done)
        for block_S, last in _with_last(blocks):
            self._session.push(block_S)
            if last:
                self._session.flush()
                self.ended = True
            yield from self._ready()

    def _ready(self) -> Iterator[VideoChunk]:
        """Chunks whose sound is there with that of the next one, which a GPU encodes beside them."""
        session, stream = self._session, self._session.stream
        following = (stream.chunk_frames - stream.motion_frames) * stream.samples_per_frame
        while session.ready() and (self.ended or session.samples_fed >= session.samples_needed + following):
            yield session.step()


class Track:
    """The file's sound as the film holds it, handed out frame by frame from `first_frame` on."""

    def __init__(self, path: str, channels: int, fps: int, first_frame: int = 0) -> None:
        self._fps = fps
        self._frame = first_frame
        start = self._position(first_frame)
        self._blocks = read_audio(path, sample_rate=TRACK_RATE, channels=channels, start_sample=start)
        self._held = np.empty((0,) if channels == 1 else (0, channels), np.float32)

    def take(self, frames: int) -> np.ndarray:
        """The samples of the next frames: [S] or [S, 2], fewer where the sound ends."""
        wanted = self._position(self._frame + frames) - self._position(self._frame)
        self._frame += frames
        while len(self._held) < wanted and (block := next(self._blocks, None)) is not None:
            self._held = np.concatenate((self._held, block))
        taken, self._held = self._held[:wanted], self._held[wanted:]
        return taken

    def take_rest(self) -> np.ndarray:
        """Everything that is left; rounding makes it a sample or two more than the last frames' share."""
        return np.concatenate((self._held, *self._blocks))

    def _position(self, frame: int) -> int:
        """The first sample of a frame."""
        return frame * TRACK_RATE // self._fps


def _with_last(blocks: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Each block, and whether it is the last one."""
    held = next(blocks, None)
    while held is not None:
        following = next(blocks, None)
        yield held, following is None
        held = following
