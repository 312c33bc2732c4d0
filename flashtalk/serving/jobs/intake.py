"""From a visitor's uploads to a job's folder: picture and sound come through the door and lie on the disk as numbers.

Called by room.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk.config import StreamConfig
from flashtalk.errors import EngineError, InputError
from flashtalk.media.part_file import plain_errors, share_file, sync_file
from flashtalk.serving.door import Door, Kind, gone
from flashtalk.serving.jobs.record import TRACK_RATE, Job, JobFolder
from flashtalk.serving.jobs.sound import write_track, write_voice

_FILM_BYTES_PER_PIXEL = 0.1
"""Of one frame, at most, as encoded; twice while the film is completed."""


@dataclass(frozen=True)
class Material:
    """What was written: sizes for the job's record."""

    picture_height: int
    picture_width: int
    channels: int
    samples: int


def take_in(folder: JobFolder, picture: str | Path, sound: str | Path, door: Door, min_free_bytes: int) -> Material:
    """Open both and write them. Raises InputError (see door.py), EngineError(disk_full).

    The job has names of its own for them first: each waits for a turn at the door, the sound twice, and its age may
    take it meanwhile.
    """
    with _held(picture, folder.brought_picture, "picture"), _held(sound, folder.brought_sound, "sound"):
        return _opened(folder, door, min_free_bytes)


def _opened(folder: JobFolder, door: Door, min_free_bytes: int) -> Material:
    picture_HWC = door.picture(folder.brought_picture)
    with plain_errors("the picture"):
        folder.picture.write_bytes(picture_HWC.tobytes())
    with door.film_sound(folder.brought_sound, 16000, 1, whole=True) as (_, blocks):
        samples = write_voice(folder.voice, _while_there_is_room(blocks, folder.path, min_free_bytes))
    with door.film_sound(folder.brought_sound, TRACK_RATE, whole=True) as (info, blocks):
        write_track(folder.track, _while_there_is_room(blocks, folder.path, min_free_bytes))
    if not samples:
        raise InputError(
            "The sound is shorter than a sample of what the model hears; give a longer one.", code="audio_empty"
        )
    with plain_errors("the sound"):
        for path in (folder.picture, folder.voice, folder.track):
            sync_file(path)  # a record must never know more than is there after a power cut
    return Material(picture_HWC.shape[0], picture_HWC.shape[1], info.channels, samples)


def read_picture(folder: JobFolder, job: Job) -> np.ndarray:
    """The portrait, uint8 RGB [H, W, 3]. Raises EngineError(job_damaged)."""
    try:
        data = folder.picture.read_bytes()
        return np.frombuffer(data, np.uint8).reshape(job.picture_height, job.picture_width, 3).copy()
    except (OSError, ValueError):
        raise EngineError("The portrait of this film is gone; begin it again.", code="job_damaged") from None


def film_bytes(frames: int, stream: StreamConfig) -> int:
    """What making a film of so many frames may take of the disk."""
    return round(2 * frames * stream.width * stream.height * _FILM_BYTES_PER_PIXEL)


def demand_room(folder: Path, needed_bytes: int, min_free_bytes: int) -> None:
    """Raise EngineError(disk_full) unless so much fits and `min_free_bytes` stay free."""
    free = shutil.disk_usage(folder).free
    if free - needed_bytes < min_free_bytes:
        raise EngineError(
            f"The server's disk has {max(0, free - min_free_bytes) / 1e9:.1f} GB left for films, and this one may "
            f"need {needed_bytes / 1e9:.1f} GB; try a shorter one, or later.",
            code="disk_full",
        )


@contextmanager
def _held(brought: str | Path, name: Path, kind: Kind) -> Iterator[None]:
    """Inside, a visitor's plain file has this name too."""
    brought = Path(brought)
    if brought.is_symlink() or not brought.is_file():
        raise gone(kind)
    try:
        share_file(brought, name)
    except EngineError as error:
        raise gone(kind) if error.code == "part_missing" else error from None
    try:
        yield
    finally:
        name.unlink(missing_ok=True)


def _while_there_is_room(blocks: Iterable[np.ndarray], folder: Path, min_free_bytes: int) -> Iterator[np.ndarray]:
    for number, block in enumerate(blocks):
        if number % 60 == 0:
            demand_room(folder, 0, min_free_bytes)
        yield block
