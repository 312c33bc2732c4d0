"""What a film is made of: the portrait and the voice, opened through the door and kept ready while the visitor decides.

Called by ui/tabs. Our own samples are opened here; everything else only by serving/door.py's caged child.
"""

from __future__ import annotations

import functools
import hashlib
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.audio import read_audio
from flashtalk.media.image import open_portrait
from flashtalk.media.resample import Resampler
from flashtalk.ui.context import UiContext

TRACK_RATE = 48_000
"""Of the film's own sound; the model hears 16 kHz."""
_SPEECH_RATE = 16_000
_WAV_HEAD, _WAV_FLOAT = struct.Struct("<4sI8sIHHIIHH4sI"), 3
_KEPT_PICTURES, _KEPT_SOUNDS = 3, 8
"""The largest picture is 144 MB when it is open, and is soon opened again."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Voice:
    """One sound twice: for the ear, float32 [S, channels] at 48 kHz; for the model, float32 [S] at 16 kHz."""

    track_SC: np.ndarray
    speech_S: np.ndarray

    def wav(self) -> tuple[bytes, memoryview]:
        """Head and samples of a sound file that opens as this very voice, bit for bit."""
        samples_SC = np.ascontiguousarray(self.track_SC, "<f4")
        frame_bytes, size = 4 * samples_SC.shape[1], samples_SC.nbytes
        rates = (_WAV_FLOAT, samples_SC.shape[1], TRACK_RATE, TRACK_RATE * frame_bytes, frame_bytes, 32)
        return _WAV_HEAD.pack(b"RIFF", 36 + size, b"WAVEfmt ", 16, *rates, b"data", size), samples_SC.data.cast("B")


class _Shelf(Generic[Value]):
    """The last few opened files, by what they hold, for as long as the files themselves stay; the oldest goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Value, float]] = OrderedDict()

    def get(self, key: str) -> Value | None:
        with self._lock:
            value, until_s = self._kept.get(key, (None, 0.0))
            return value if until_s > time.time() else None

    def put(self, key: str, value: Value, until_s: float) -> None:
        """`until_s`: Unix time."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = value, until_s
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def forget_old(self) -> None:
        """By age; also called while nobody asks."""
        with self._lock:
            for key in [key for key, (_, until_s) in self._kept.items() if until_s <= time.time()]:
                del self._kept[key]


class Materials:
    """Opens pictures and sounds, each once for a while. Thread-safe. One for each app: `materials_of`."""

    def __init__(self, context: UiContext) -> None:
        self._context = context
        self._pictures: _Shelf[np.ndarray] = _Shelf(_KEPT_PICTURES)
        self._voices: _Shelf[Voice] = _Shelf(_KEPT_SOUNDS)
        for shelf in (self._pictures, self._voices):
            context.cleaner.also(shelf.forget_old)

    def portrait(self, path: str | None) -> np.ndarray:
        """RGB uint8 [H, W, 3]. InputError, Overloaded."""
        if not path:
            raise InputError("Choose a face first: one of ours, a picture of yours or the camera.", code="no_portrait")
        key = file_sha256(path)
        picture = self._pictures.get(key)
        if picture is None:
            picture = open_portrait(path) if self._is_ours(path) else self._context.door.picture(path)
            self._pictures.put(key, picture, self._until_s(path))
        return picture

    def voice(self, path: str | None) -> Voice:
        """A sound of at most `film_max_s`. InputError, Overloaded."""
        if not path:
            raise InputError("Choose a voice first: one of ours, a recording or a text.", code="no_voice")
        key = file_sha256(path)
        voice = self._voices.get(key)
        if voice is None:
            with self._blocks(path) as blocks:
                voice = _collect(blocks, self._context.settings.film_max_s)
            self._voices.put(key, voice, self._until_s(path))
        return voice

    @contextmanager
    def _blocks(self, path: str) -> Iterator[Iterator[np.ndarray]]:
        if self._is_ours(path):
            yield read_audio(path, sample_rate=TRACK_RATE)
            return
        with self._context.door.film_sound(path, TRACK_RATE) as (_, blocks):
            yield blocks

    def _until_s(self, path: str) -> float:
        """When what was in the file must go, in Unix time: with the file itself; ours some time after it was used."""
        try:
            there_s = time.time() if self._is_ours(path) else Path(path).stat().st_ctime
        except FileNotFoundError:  # it went just now
            there_s = 0.0
        return there_s + self._context.door.config.upload_age_s

    def _is_ours(self, path: str) -> bool:
        """Whether the file's bytes are those of a sample that ships with the app."""
        return Path(path).resolve().is_relative_to(self._context.assets)


@functools.lru_cache(maxsize=4)
def materials_of(context: UiContext) -> Materials:
    """The one Materials of an app; choosers and tabs all ask for it."""
    return Materials(context)


def file_sha256(path: str | Path) -> str:
    """Of the file's bytes. InputError(upload_gone) if it cannot be read any more."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise InputError(
            "This file is gone (uploads are kept for a short time); choose it again.", code="upload_gone"
        ) from None


def _collect(blocks: Iterator[np.ndarray], longest_s: float) -> Voice:
    track, speech, samples = [], [], 0
    resampler = Resampler(TRACK_RATE, _SPEECH_RATE, 1)
    for block in blocks:
        block_SC = block.reshape(len(block), -1)
        samples += len(block_SC)
        if samples > longest_s * TRACK_RATE:
            message = f"The sound is longer than {longest_s:g} s; shorten it, or use the long-video tab."
            raise InputError(message, code="audio_limits")
        track.append(block_SC)
        speech.append(resampler.push(block_SC.mean(axis=1, dtype=np.float32)[None]))
    speech.append(resampler.finish())
    speech_S = np.concatenate(speech, axis=1)[0]
    if not len(speech_S):  # fewer samples than make one of the model's
        raise InputError("The sound is empty; record or choose another one.", code="audio_empty")
    return Voice(np.concatenate(track), speech_S)
