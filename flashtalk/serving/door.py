"""The door: a visitor's picture or sound is opened only in a short-lived caged child, and comes back as plain numbers.

Called by the app and by long jobs. InputError codes: those of media/image.py and media/audio.py, and `upload_gone` (no
such plain file), `upload_too_hard` (time or memory ran out), `upload_refused` (the cage is not whole on this system).
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from flashtalk.config_app import DoorConfig
from flashtalk.errors import EngineError, FlashTalkError, InputError, Overloaded
from flashtalk.media.files import check_kind_and_size
from flashtalk.media.limits import AudioLimits, ImageLimits
from flashtalk.serving.door_cage import PARTS
from flashtalk.serving.door_process import Child
from flashtalk.serving.door_records import END, FAILED, INFO, READY, BrokenRecord, Record

Kind = Literal["picture", "sound"]

_SOUND_PER_SECOND = 20
"""Seconds of delivered sound that allow one second more."""
_GRACE_S = 0.5
"""A sound of just the length allowed may count a little more in its coding."""
_BLOCK_MAX_BYTES = 8 << 20
_CODE = re.compile(r"(image|audio)_[a-z_]{1,30}")
_SECRET = re.compile(r"0x[0-9a-fA-F]{4,}|(^|[\s'\"(])[/\\][\w.-]|[A-Za-z]:\\|Traceback")
_MEDIA: dict[Kind, Literal["image", "audio"]] = {"picture": "image", "sound": "audio"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DoorStatus:
    """Which parts of the cage (serving/door_cage.py) held for the last file opened; None before the first."""

    held: tuple[str, ...] | None

    @property
    def missing(self) -> tuple[str, ...]:
        """Parts that the system does not offer."""
        return () if self.held is None else tuple(part for part in PARTS if part not in self.held)

    @property
    def words(self) -> str:
        """For people."""
        if self.held is None:
            return "no upload was opened yet"
        missing = f"; this system does not offer: {', '.join(self.missing)}" if self.missing else ""
        return f"uploads are opened in a process of their own{missing}"


@dataclass(frozen=True)
class SoundInfo:
    """What comes before a sound's blocks. duration_s: what the header says, None if nothing."""

    channels: int
    duration_s: float | None


class Door:
    """Thread-safe. Nothing lives between two calls."""

    def __init__(self, config: DoorConfig | None = None) -> None:
        self.config = config or DoorConfig()
        self._turns = threading.BoundedSemaphore(self.config.at_once)
        self._long_turns = threading.BoundedSemaphore(1)
        self._held: tuple[str, ...] | None = None

    def picture(self, path: str | Path) -> np.ndarray:
        """A local PNG, JPEG, WebP or BMP file as uint8 RGB [H, W, 3], upright, in sRGB. InputError, Overloaded."""
        limits = ImageLimits(max_bytes=self.config.picture_max_bytes)
        with self._open(path, "picture", limits.max_bytes) as file:
            records = self._records(file, "picture", asdict(limits), limits.max_pixels * 3)
            arrays = [_array(record, "picture") for record in records]
        if len(arrays) != 1 or arrays[0].dtype != np.uint8 or arrays[0].ndim != 3 or arrays[0].shape[2] != 3:
            raise _unreadable("picture")
        return arrays[0]

    def sound(self, path: str | Path, max_duration_s: float | None = None) -> np.ndarray:
        """A short local sound file as float32 mono [S] at 16 kHz in [-1, 1]. InputError, Overloaded."""
        most_s = min(max_duration_s or self.config.sound_max_s, self.config.sound_max_s) + _GRACE_S
        limits = AudioLimits(max_bytes=self.config.sound_max_bytes, max_duration_s=most_s)
        with self._stream(path, 16000, 1, limits) as (_, blocks):
            return np.concatenate(list(blocks))

    @contextmanager
    def film_sound(
        self, path: str | Path, sample_rate: int, channels: int | None = None, *, whole: bool = False
    ) -> Iterator[tuple[SoundInfo, Iterator[np.ndarray]]]:
        """A sound of up to hours, decoded as it is read: blocks of a second, float32 [S] (one channel) or [S, 2].

        channels None: as in the file, 2 at most. whole: it is read to its end, which may take minutes and keeps only
        others of its kind waiting. Read the blocks fast: time counts. InputError, Overloaded.
        """
        limits = AudioLimits(max_bytes=self.config.film_max_bytes, max_duration_s=self.config.film_max_s)
        with self._stream(path, sample_rate, channels, limits, whole=whole) as opened:
            yield opened

    def status(self) -> DoorStatus:
        """What protects this machine from uploads."""
        return DoorStatus(self._held)

    @contextmanager
    def _stream(
        self, path: str | Path, sample_rate: int, channels: int | None, limits: AudioLimits, *, whole: bool = False
    ) -> Iterator[tuple[SoundInfo, Iterator[np.ndarray]]]:
        with self._open(path, "sound", limits.max_bytes, whole=whole) as file:
            wanted: dict[str, int | None] = {"sample_rate": sample_rate, "channels": channels}
            records = self._records(file, "sound", asdict(limits), _BLOCK_MAX_BYTES, **wanted)
            try:
                info = _sound_info(next(records, None), channels)
                yield info, _sound_blocks(records, info, sample_rate, limits)
            finally:
                records.close()

    @contextmanager
    def turn(self, *, whole: bool = False) -> Iterator[None]:
        """Inside, one of the few files that may be open at the same time is. Raises Overloaded(door_busy).

        whole: for the sound of a long film, of which there is one at a time.
        """
        config = self.config
        turns, wait_s = (self._long_turns, config.long_wait_s) if whole else (self._turns, config.time_s)
        if not turns.acquire(timeout=wait_s):
            raise Overloaded("Too many files are being opened just now; try again in a minute.", code="door_busy")
        try:
            yield
        finally:
            turns.release()

    @contextmanager
    def _open(self, path: str | Path, kind: Kind, max_bytes: int, *, whole: bool = False) -> Iterator[BinaryIO]:
        """The file, never a link, a folder, a device or an address; and a turn to look at it."""
        try:
            handle = os.open(path, os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
        except (OSError, ValueError) as error:
            _log.info("an upload could not be opened: %s", errno.errorcode.get(getattr(error, "errno", None) or 0))
            is_ours = getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
            raise (_broken() if is_ours else gone(kind)) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise gone(kind)
        with os.fdopen(handle, "rb") as file:
            _check_size(file, kind, max_bytes)
            with self.turn(whole=whole):
                yield file

    def _records(
        self, file: BinaryIO, kind: Kind, limits: dict[str, Any], max_bytes: int, **extra: int | None
    ) -> Generator[Record]:
        """What a fresh child says about the file, its READY and END excepted."""
        samples_per_second = (extra.get("sample_rate") or 1) * (extra.get("channels") or 2)
        order = {
            **extra,
            "kind": kind,
            "limits": limits,
            "memory_bytes": self.config.memory_bytes,
            "cpu_s": round(self.config.time_s + limits.get("max_duration_s", 0) / _SOUND_PER_SECOND),
            "parent": os.getpid(),
        }
        try:
            child = Child(file, order, self.config.time_s, 1 / (4 * samples_per_second * _SOUND_PER_SECOND))
        except (OSError, RuntimeError) as error:
            _log.error("no process could be started to open an upload: %r", error)
            raise _broken() from None
        try:
            self._note_cage(child.read(0), kind)
            while (record := child.read(max_bytes)).kind != END:
                if record.kind == FAILED:
                    raise _told(record, kind)
                yield record
        except BrokenRecord:
            raise _reason(child, kind) from None
        finally:
            child.stop()

    def _note_cage(self, ready: Record, kind: Kind) -> None:
        """Remember what holds; complain once. Raises InputError(upload_refused) in strict isolation."""
        said = ready.header.get("held")
        if ready.kind != READY or not isinstance(said, list):
            raise BrokenRecord
        before = self.status().missing
        self._held = tuple(part for part in PARTS if part in said)
        missing = self.status().missing
        if missing and missing != before:
            _log.warning(self.status().words)
        if missing and self.config.isolation == "strict":
            raise InputError(
                f"The {kind} was not opened: this server must open uploads in strict isolation, but its system does "
                f"not offer it ({', '.join(missing)}); its operator can change that.",
                code="upload_refused",
            )


def _sound_info(record: Record | None, channels: int | None) -> SoundInfo:
    if record is None or record.kind != INFO:
        raise _unreadable("sound")
    told, duration_s = record.header.get("channels"), record.header.get("duration_s")
    if not isinstance(told, int) or told not in ((1, 2) if channels is None else (channels,)):
        raise _unreadable("sound")
    return SoundInfo(told, float(duration_s) if isinstance(duration_s, int | float) else None)


def _sound_blocks(
    records: Iterator[Record], info: SoundInfo, sample_rate: int, limits: AudioLimits
) -> Iterator[np.ndarray]:
    """The arrays, each as it must be."""
    wanted = () if info.channels == 1 else (info.channels,)
    left = round((limits.max_duration_s + 1) * sample_rate)
    for record in records:
        block = _array(record, "sound")
        left -= len(block)
        if block.dtype != np.float32 or block.shape[1:] != wanted or left < 0 or not np.isfinite(block).all():
            raise _unreadable("sound")
        yield block


def _array(record: Record, kind: Kind) -> np.ndarray:
    try:
        return record.array()
    except BrokenRecord:
        raise _unreadable(kind) from None


def _told(record: Record, kind: Kind) -> InputError:
    """The child's error in its words, if they are such as its own code writes."""
    code, message = record.header.get("code"), record.header.get("message")
    if code == "memory":
        return _too_hard(kind)
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        _log.error("the process that opens uploads failed: %.200r", message)
        return _unreadable(kind)
    if not isinstance(message, str) or not message.isprintable() or len(message) > 400 or _SECRET.search(message):
        return _unreadable(kind)
    return InputError(_sentence(message.replace("the file", f"the {kind}", 1)), code=code)


def _check_size(file: BinaryIO, kind: Kind, max_bytes: int) -> None:
    try:
        check_kind_and_size(os.fstat(file.fileno()), f"the {kind}", _MEDIA[kind], max_bytes)
    except InputError as error:
        raise InputError(_sentence(str(error)), code=error.code) from None


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _reason(child: Child, kind: Kind) -> FlashTalkError:
    if not child.started:
        _log.error("the process that opens uploads did not come up; its own words are above")
        return _broken()
    return _too_hard(kind) if child.ran_out() else _unreadable(kind)


def _broken() -> EngineError:
    return EngineError("Files cannot be opened on this server just now; try again later.", code="door_broken")


def _too_hard(kind: Kind) -> InputError:
    return InputError(
        f"The {kind} takes too much time or memory to open; save it anew in a plain format, or give a smaller one.",
        code="upload_too_hard",
    )


def _unreadable(kind: Kind) -> InputError:
    plain = {"picture": "PNG, JPEG or WebP", "sound": "WAV, FLAC, MP3 or M4A"}[kind]
    return InputError(
        f"The {kind} is damaged or of another kind; save it again as {plain}.", code=f"{_MEDIA[kind]}_unreadable"
    )


def gone(kind: Kind) -> InputError:
    """For an upload that is no plain file, or is none any more."""
    return InputError(f"The {kind} is not there any more, or is no plain file; choose it again.", code="upload_gone")


def _flags(*names: str) -> int:
    return sum(getattr(os, name, 0) for name in names)
