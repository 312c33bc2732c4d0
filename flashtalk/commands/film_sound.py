"""The two readings of a sound file that a film needs: the voice that drives it and the track that is heard in it.

Both stream: memory does not grow with the length. Used by generate.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.audio import probe_audio, read_audio
from flashtalk.serving.protocol import Stream
from flashtalk.types import VideoChunk

TRACK_RATE = 48000
"""The film's sound keeps the source's quality; the 16 kHz mono that the model hears never gets into it."""

_CHUNKS_AHEAD = 5
"""Of sound: for chunks that are computed before they are taken, for the one whose sound a GPU encodes beside them."""


def check_sound(path: str, sample_rate: int) -> tuple[int, float | None]:
    """(channels of the film, seconds if the header tells). Reads the first second too. Raises InputError."""
    info = probe_audio(path)
    if next(read_audio(path, sample_rate=sample_rate), None) is None:
        raise InputError(
            "the sound is shorter than a sample of what the model hears; give a longer one", code="audio_empty"
        )
    return min(info.channels, 2), info.duration_s


class Voice:
    """Feeds a stream from a file and gives its chunks. A restored stream goes on at the sample where it stood.

    fed: samples that the stream had by then; ended: whether they were all.
    """

    def __init__(self, stream: Stream, path: str, *, fed: int = 0, ended: bool = False) -> None:
        self.fed, self.ended = fed, ended
        self._stream = stream
        self._taken = 0
        rate = stream.config.sample_rate
        self._blocks = _with_last(iter(()) if ended else read_audio(path, sample_rate=rate, start_sample=fed))

    @property
    def last(self) -> bool:
        """Whether the chunk just given was the last one."""
        return self.ended and self._taken >= self.fed

    def chunks(self) -> Iterator[VideoChunk]:
        """What is left, in order."""
        spare = self._stream.config.samples_per_frame * self._spare_frames()
        self._feed(self.fed + spare)
        while (chunk := self._stream.next(threading.TIMEOUT_MAX)) is not None:
            self._taken = chunk.first_frame * self._stream.config.samples_per_frame + len(chunk.samples)
            self._feed(self._taken + spare)
            yield chunk

    def _spare_frames(self) -> int:
        return _CHUNKS_AHEAD * self._stream.config.chunk_frames + self._stream.config.lookahead_frames

    def _feed(self, until: int) -> None:
        """At once, so that the first chunk, too, has its follower's sound."""
        if self.ended:
            return
        blocks: list[np.ndarray] = []
        while self.fed < until and not self.ended:
            block_S, self.ended = next(self._blocks)
            blocks.append(block_S)
            self.fed += len(block_S)
        if blocks:
            self._stream.feed(np.concatenate(blocks))
        if self.ended:
            self._stream.finish()


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
