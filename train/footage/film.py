"""Pictures and sound of a stretch of a video file, both placed by their time stamps: 25 frames a second, 16 kHz mono.

Called by footage/read. Frame i is the source's frame nearest to start_s + i / 25 s, whatever its rate; sample j is
heard at start_s + j / 16000 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from flashtalk.errors import InputError
from flashtalk.media.audio import read_audio
from train.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME, Frames, Samples

_CONTAINERS = "mov,matroska,avi,mpegts"
_CODECS = (
    *("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "mpeg4", "ffv1"),
    *("aac", "mp3", "mp3float", "opus", "libopus", "vorbis", "ac3", "flac", "pcm_s16le"),
)
_LONGEST_GAP_S = 0.25
"""A longer stretch without a frame is a fault of the file, not a low frame rate."""


@dataclass(frozen=True)
class FilmInfo:
    """Size in pixels, rate in frames a second, seconds of picture and of sound, and the time of the first picture."""

    height: int
    width: int
    fps: float
    picture_s: float
    sound_s: float
    start_s: float


@dataclass(frozen=True)
class Window:
    """A stretch of a file, and the part of its pictures that is wanted: (top, left, height, width) or all."""

    start_s: float
    frames: int
    crop: tuple[int, int, int, int] | None = None


def probe(path: Path) -> FilmInfo:
    """Raises InputError(film_unreadable, film_no_sound)."""
    with _opened(path) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        lasts_s = container.duration / av.time_base if container.duration else 0.0
        picture_s, sound_s = (
            float(s.duration * s.time_base) if s.duration and s.time_base else lasts_s for s in (picture, sound)
        )
        rate = float(picture.average_rate or 0)
        first = next(_decoded(container, 0.0), None)
        if first is None:
            raise _unreadable(path, "no picture can be decoded")
        return FilmInfo(first[1].height, first[1].width, rate, picture_s, sound_s, first[0])


def read_frames(path: Path, window: Window) -> Iterator[Frames]:
    """The window's frames [H, W, 3], one after the other. Raises InputError(film_unreadable, film_short, film_gap)."""
    wanted, before = 0, None
    with _opened(path) as container:
        for time_s, frame in _decoded(container, window.start_s - 1.0):
            while wanted < window.frames:
                target_s = window.start_s + wanted / FPS
                # Float sums of time stamps: at an exact tie the earlier frame, always.
                if before is None or abs(time_s - target_s) < abs(before[0] - target_s) - 1e-6:
                    break
                yield _picture(path, before, target_s, window)
                wanted += 1
            if wanted == window.frames:
                return
            before = (time_s, frame)
        while before is not None and wanted < window.frames:
            yield _picture(path, before, window.start_s + wanted / FPS, window)
            wanted += 1
    if wanted < window.frames:
        raise InputError(f"{path.name} holds no picture", code="film_unreadable")


def read_sound(path: Path, window: Window) -> Samples:
    """float32 [640 * frames]; silence where the file has no sound yet or no more."""
    length = window.frames * SAMPLES_PER_FRAME
    skip = round((window.start_s - _sound_start_s(path)) * SAMPLE_RATE)
    samples = np.zeros(length, np.float32)
    at = max(0, -skip)
    for block in read_audio(path, sample_rate=SAMPLE_RATE, start_sample=max(0, skip)):
        kept = block[: length - at]
        samples[at : at + len(kept)] = kept
        at += len(kept)
        if at >= length:
            break
    return samples


def _picture(path: Path, shown: tuple[float, av.VideoFrame], target_s: float, window: Window) -> Frames:
    time_s, frame = shown
    if abs(time_s - target_s) > _LONGEST_GAP_S:
        code = "film_short" if target_s > time_s else "film_gap"
        raise InputError(f"{path.name} has no picture near {target_s:.2f} s (nearest {time_s:.2f} s)", code=code)
    picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if window.crop is None:
        return picture
    top, left, height, width = window.crop
    return picture[top : top + height, left : left + width]


def _decoded(container: InputContainer, from_s: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """(time, frame) from the key frame before `from_s` on, in order of time."""
    stream = container.streams.video[0]
    if from_s > 0:
        container.seek(int(from_s * av.time_base))
    for frame in container.decode(stream):
        if frame.time is not None:
            yield frame.time, frame


def _sound_start_s(path: Path) -> float:
    with _opened(path) as container:
        first = next(iter(container.decode(container.streams.audio[0])), None)
        return 0.0 if first is None or first.time is None else first.time


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    options = {"format_whitelist": _CONTAINERS, "codec_whitelist": ",".join(_CODECS), "protocol_whitelist": ""}
    try:
        with path.open("rb") as file, av.open(file, "r", options=options) as container:
            if not container.streams.video:
                raise _unreadable(path, "no picture in it")
            if not container.streams.audio:
                raise InputError(f"{path.name} has no sound; leave it out", code="film_no_sound")
            yield container
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"{path.name} cannot be read as a film ({reason}); download it again", code="film_unreadable")
