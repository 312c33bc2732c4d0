"""Folders of films that the app made, and of projects that it unpacked, by who asked for them: of whoever has too much
the oldest go, so that nobody fills the disk for all the others.

For ui/owners.py and ui/films.py. Whatever is left goes by its age (ui/cleaning.py), as all of it does after a restart.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from flashtalk.config_app import UiConfig
from flashtalk.ui.browsers import Asker, Browsers

_MOST_FOLDERS = 256
"""Of one visitor; four times as many of an address."""


class Kept:
    """Folders of a file or a few. Thread-safe. One for each app. per_visitor_bytes, per_address_bytes: of all files."""

    def __init__(
        self,
        browsers: Browsers,
        *,
        per_visitor_bytes: int = UiConfig.made_per_visitor_bytes,
        per_address_bytes: int = UiConfig.made_per_address_bytes,
    ) -> None:
        self._browsers = browsers
        self._per_visitor_bytes = per_visitor_bytes
        self._per_address_bytes = per_address_bytes
        self._lock = threading.Lock()
        self._askers: dict[Path, Asker] = {}
        """Of folders, the oldest first."""

    def new(self, parent: Path) -> Path:
        """An empty folder for whoever asks now; its name is random."""
        folder, asker = parent / secrets.token_hex(16), self._browsers.asker()
        folder.mkdir(parents=True, mode=0o700)
        with self._lock:
            visitors = [one for one, whose in self._askers.items() if "" != whose.visitor == asker.visitor]
            address = [one for one, whose in self._askers.items() if "" != whose.address == asker.address]
            self._askers[folder] = asker
        gone = _surplus(visitors, _MOST_FOLDERS, self._per_visitor_bytes)
        gone |= _surplus(address, 4 * _MOST_FOLDERS, self._per_address_bytes)
        for one in gone:
            shutil.rmtree(one, ignore_errors=True)
        return folder

    def forget_gone(self) -> None:
        """Let go of folders that were removed."""
        with self._lock:
            folders = list(self._askers)
        gone = [folder for folder in folders if not folder.exists()]  # others do not wait for the disk
        with self._lock:
            for folder in gone:
                self._askers.pop(folder, None)


def _surplus(folders: list[Path], most: int, most_bytes: int) -> set[Path]:
    """The oldest of them: the others are fewer than `most` and take no more than `most_bytes`."""
    size, gone = 0, set[Path]()
    for number, folder in enumerate(reversed(folders), start=1):
        size += _size(folder)
        if number >= most or size > most_bytes:
            gone.add(folder)
    return gone


def _size(folder: Path) -> int:
    """In bytes; nothing for one that is gone, or of a file that goes meanwhile."""
    size = 0
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):
                size += file.stat().st_size
    return size
