"""Whose browser brought a file, or asked for it: to others its address gives nothing, wherever they have it from; nor
does that of any file elsewhere, what ships with the app excepted.

For ui/shutters.py. Gradio keeps what visitors bring in one folder; each folder in it is somebody's here, and one that
is nobody's, such as those of an app that ended, is shut. Programs have no cookie to be known by: what they bring and
what is made for them is open to whoever knows its address, which nobody can guess.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from flashtalk.ui.browsers import Browsers
from flashtalk.ui.kept import Kept

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_ALL = ""
"""The browser of who has no cookie."""
_ANSWER_MAX_BYTES = 1 << 20
_PATH_MAX_LETTERS = 4096


class Owners:
    """Of files in the folder `uploads`. Who brings the same bytes owns them too. Thread-safe. One for each app.

    shipped: folders whose files are everybody's. kept: counts what is made for visitors.
    """

    def __init__(
        self, uploads: Path, browsers: Browsers, shipped: Sequence[Path] = (), kept: Kept | None = None
    ) -> None:
        self.uploads = uploads
        self._kept = kept or Kept(browsers)
        self._whole = uploads.resolve()
        self._shipped = tuple(folder.resolve() for folder in shipped)
        self._browsers = browsers
        self._lock = threading.Lock()
        self._owners: dict[str, set[str]] = {}

    def new_folder(self) -> Path:
        """An empty folder among the uploads, whose files are for whoever asks now; removed at the uploads' age."""
        folder = self._kept.new(self.uploads)
        self.give(folder)
        return folder

    def give(self, path: Path) -> None:
        """Whoever asks now may have what is in this folder of uploads, too."""
        self._note([path], self._browsers.now())

    def may_have(self, path: str, browser: str) -> bool:
        """Whether this is a file, and this browser may have it; "" is one without a cookie, as programs are."""
        if len(path) > _PATH_MAX_LETTERS:  # no file has it, and following it takes long
            return False
        try:
            whole = Path(path).resolve()
            return self._is_open(whole, browser) and whole.is_file()
        except (ValueError, OSError, RuntimeError):  # no path at all
            return False

    def _is_open(self, whole: Path, browser: str) -> bool:
        if any(folder in whole.parents for folder in self._shipped):
            return True
        name = self._folder_of(whole)
        with self._lock:
            return name is not None and not self._owners.get(name, set()).isdisjoint((browser, _ALL))

    def forget_gone(self) -> None:
        """Let go of owners whose files were removed."""
        with self._lock:
            names = list(self._owners)
        gone = [name for name in names if not (self.uploads / name).exists()]  # others do not wait for the disk
        with self._lock:
            for name in gone:
                self._owners.pop(name, None)

    def noting(self, send: Send, browser: str) -> Send:
        """`send` for the answer to an upload, whose paths are noted before it is sent."""
        held = bytearray()
        is_taken = False

        async def send_noted(message: Message) -> None:
            nonlocal is_taken
            if message["type"] == "http.response.start":
                is_taken = message["status"] == 200
            elif is_taken and len(held) < _ANSWER_MAX_BYTES:
                held.extend(message.get("body", b""))
                if not message.get("more_body"):
                    await asyncio.to_thread(self._note_answer, bytes(held), browser)
            await send(message)

        return send_noted

    def _note_answer(self, answer: bytes, browser: str) -> None:
        """In a thread: there may be a thousand paths, each looked up on the disk."""
        self._note(_paths(answer), browser)

    def _note(self, paths: list[Path], browser: str) -> None:
        names = [name for name in map(self._folder_of, paths) if name]
        with self._lock:
            for name in names:
                self._owners.setdefault(name, set()).add(browser)

    def _folder_of(self, path: Path) -> str | None:
        """The folder below that of uploads, links and dots followed; None elsewhere."""
        whole = path.resolve()
        return whole.relative_to(self._whole).parts[0] if self._whole in whole.parents else None


def _paths(answer: bytes) -> list[Path]:
    """Of an answer to an upload."""
    try:
        return [Path(path) for path in json.loads(answer)]
    except (ValueError, TypeError, RecursionError):
        return []
