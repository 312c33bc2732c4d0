"""Opens a visitor's file: a regular local file within its size, never an address, and reads it for a limited time.

Called by media/demux.py and media/image.py.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from flashtalk.errors import InputError

Entry = TypeVar("Entry")

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")


def open_local(
    path: str | Path | BinaryIO, kind: Literal["audio", "image"], max_bytes: int
) -> AbstractContextManager[BinaryIO]:
    """Open for reading, as a context. A file that is open already stays so and is not checked: its opener did that.

    InputError: `{kind}_unreadable` (an address, a folder, a device, no such file, an empty picture), `audio_empty`,
    `{kind}_limits` (bytes).
    """
    if not isinstance(path, str | Path):
        return nullcontext(path)
    name = shown_name(path)
    if isinstance(path, str) and _ADDRESS.match(path):
        raise InputError(
            f"{name} looks like an address; download it and give the local file", code=f"{kind}_unreadable"
        )
    try:
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller closes it)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise InputError(
            f"{name} cannot be opened ({reason}); give a readable file", code=f"{kind}_unreadable"
        ) from None
    try:
        check_kind_and_size(os.fstat(file.fileno()), name, kind, max_bytes)
    except InputError:
        file.close()
        raise
    return file


def match_signature(head: bytes, table: Iterable[tuple[bytes, Entry]]) -> Entry | None:
    """The entry whose signature begins `head` (a dot in a signature stands for any byte), or None."""
    for signature, entry in table:
        if len(head) >= len(signature) and all(s in (ord("."), h) for s, h in zip(signature, head, strict=False)):
            return entry
    return None


class TimedFile:
    """A file as decoders see it: without a name (contents decide, not the extension), and it ends when time is up.

    `failed` says that it ended early, by time or by an error of the disk. It ends and does not raise, because an
    exception would cross a decoder's C code, which may drop it or hand it to a later, unrelated call.
    """

    def __init__(self, file: BinaryIO, patience_s: float) -> None:
        self._file = file
        self._patience_s = patience_s
        self.failed = False
        self.tell = file.tell
        here = file.tell()
        self._end = file.seek(0, os.SEEK_END)
        file.seek(here)
        self.touch()

    def check(self, name: str, kind: str) -> None:
        """InputError `{kind}_unreadable` if it ended early."""
        if self.failed:
            raise InputError(
                f"{name} could not be read to its end ({self._patience_s:g} s without progress are allowed); try "
                "again, or save it anew in a plain format",
                code=f"{kind}_unreadable",
            ) from None

    def touch(self) -> None:
        """Something useful came out: allow the full time again."""
        self._deadline = time.monotonic() + self._patience_s

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, or all; none once time is up."""
        if time.monotonic() > self._deadline:
            self.failed = True
        try:
            left = max(
                0, self._end - self._file.tell()
            )  # a damaged header may ask for gigabytes, which Python would take
            return b"" if self.failed else self._file.read(min(size, left) if size >= 0 else left)
        except OSError:
            self.failed = True
            return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position, -1 if there is no such."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


def _open_at_once(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would otherwise wait for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def shown_name(path: str | Path | BinaryIO) -> str:
    """The file's own name in quotes, short and without its folder, for messages."""
    if not isinstance(path, str | Path):
        return "the file"
    name = Path(path).name or str(path)
    return repr(name if len(name) <= 60 else name[:57] + "...")


def check_kind_and_size(status: os.stat_result, name: str, kind: str, max_bytes: int) -> None:
    """A regular file of 1 to `max_bytes` bytes; else InputError as `open_local` says."""
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name} is not a regular file; give one {kind} file", code=f"{kind}_unreadable")
    if status.st_size == 0:
        code = "audio_empty" if kind == "audio" else "image_unreadable"
        raise InputError(f"{name} is empty (0 bytes); choose another file", code=code)
    if status.st_size > max_bytes:
        raise InputError(
            f"{name} has {status.st_size:,} bytes; at most {max_bytes:,} are allowed: give a shorter or smaller one",
            code=f"{kind}_limits",
        )
