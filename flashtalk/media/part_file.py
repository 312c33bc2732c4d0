"""The file of a film that is still being made: grows by whole segments, plays at any moment, survives a kill.

Called by media/mp4.py.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashtalk.errors import EngineError, FlashTalkError, InputError

_READ_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_SECOND_NAMES = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def plain_errors(name: str) -> Iterator[None]:
    """Turn what the system says about `name` into errors with plain words."""
    try:
        yield
    except OSError as error:
        raise _translated(error, name) from error


def _translated(error: OSError, name: str) -> FlashTalkError:
    if error.errno in _FULL:
        return EngineError(f"No room on the disk for {name}; make room and go on, or resume later.", code="disk_full")
    if error.errno in _FORBIDDEN:
        message = f"{name} cannot be written there ({error.strerror}); choose a folder that you may write to."
        return InputError(message, code="output_forbidden")
    if error.errno == errno.ENOENT:
        return EngineError(f"{name} is gone, so it cannot be continued; begin again.", code="part_missing")
    return EngineError(f"Writing {name} failed ({error.strerror}).", code="output_failed")


def share_file(old: Path, new: Path) -> None:
    """A second name for a file, or a copy where the disk knows no second names; one that is there stays.

    Raises EngineError(disk_full, part_missing).
    """
    with plain_errors(old.name):
        try:
            new.hardlink_to(old)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in _NO_SECOND_NAMES:
                raise
            _copy_whole(old, new)


def _copy_whole(old: Path, new: Path) -> None:
    """A kill or a full disk leaves nothing of that name, as what is there counts as the file."""
    temporary = new.with_name(f"{new.name}.copying")
    try:
        shutil.copyfile(old, temporary, follow_symlinks=False)
        sync_file(temporary)
        temporary.replace(new)
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Have what was written to it outlive a power cut. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in it survive a power cut, where folders can be synced."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PartFile:
    """Segments behind one another; `size` and `crc` (CRC-32) tell what is safely there.

    create: begin anew, otherwise the file must exist. A second writer of the same file gets InputError(output_busy).
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.size = self.crc = 0
        with plain_errors(path.name):
            if create:
                path.touch()
                sync_folder(path.parent)
            self._file = path.open("r+b", buffering=0)
        try:
            self._lock()
            if create:
                self._truncate()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl  # noqa: PLC0415 (not on Windows)

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"{self.path.name} is being written by another program; wait for it or choose another name."
            raise InputError(message, code="output_busy") from error
        except OSError:
            return  # a file system without locks must not keep anybody from working

    def go_back_to(self, size: int, crc: int) -> None:
        """Continue after the first `size` bytes, whose checksum is `crc`; what follows them is dropped.

        Raises EngineError(part_damaged) if they are not there.
        """
        found = 0
        with plain_errors(self.path.name):
            self._file.seek(0)
            left = size
            while left and (piece := self._file.read(min(left, _READ_BYTES))):
                found = zlib.crc32(piece, found)
                left -= len(piece)
            if left or found != crc:
                message = f"{self.path.name} is not the file that the checkpoint speaks of; begin the film again."
                raise EngineError(message, code="part_damaged")
            self.size, self.crc = size, crc
            self._truncate()

    def head(self, size: int) -> bytes:
        """The first bytes."""
        with plain_errors(self.path.name):
            self._file.seek(0)
            return self._file.read(size)

    def append(self, segment: bytes) -> None:
        """Add whole boxes and see them on the disk. If that fails, the file is as before.

        The first box is called `free` until all is written: a player that meets a torn `moof` (a kill in between)
        refuses the whole file, but it skips a torn `free`.
        """
        if not segment:
            return
        with plain_errors(self.path.name):
            try:
                self._write(self.size, segment[:4] + b"free" + segment[8:])
                self._write(self.size + 4, segment[4:8])
                os.fsync(self._file.fileno())
            except BaseException:
                self._truncate()
                raise
        self.size += len(segment)
        self.crc = zlib.crc32(segment, self.crc)

    def _write(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def _truncate(self) -> None:
        with plain_errors(self.path.name):
            self._file.truncate(self.size)

    def close(self) -> None:
        """Let go of the file; it stays where it is."""
        self._file.close()
