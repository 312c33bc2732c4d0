"""Whose browser brought a file: to others its address gives nothing, wherever they have it from. For ui/shutters.py.

Gradio's answer to an upload says where it lies; the folder of that name is a browser's from then on. Files that this
app puts beside them (samples, films) have nobody here and stay what they are: open to whoever knows the address.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_KNOWN_FOLDERS = 65536
_ANSWER_MAX_BYTES = 1 << 20
_PATH_MAX_LETTERS = 4096


class Owners:
    """Of files in the folder where Gradio puts uploads. Who brings the same bytes owns them too. Thread-safe."""

    def __init__(self, uploads: Path) -> None:
        self._uploads = uploads.resolve()
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, set[str]] = OrderedDict()

    def brought(self, answer: bytes, browser: str) -> None:
        """Note the paths of an answer to an upload."""
        try:
            paths = [Path(path) for path in json.loads(answer)]
        except (ValueError, TypeError, RecursionError):
            return
        with self._lock:
            for name in filter(None, map(self._folder_of, paths)):
                self._owners.setdefault(name, set()).add(browser)
                self._owners.move_to_end(name)
            while len(self._owners) > _KNOWN_FOLDERS:
                self._owners.popitem(last=False)

    def may_have(self, path: str, browser: str) -> bool:
        """Whether this browser may have the file; "" is one without a cookie, as programs are."""
        if len(path) > _PATH_MAX_LETTERS:  # no file has it, and following it takes long
            return False
        try:
            name = self._folder_of(Path(path))
        except (ValueError, OSError, RuntimeError):  # no path at all
            return True
        with self._lock:
            return browser in self._owners.get(name or "", (browser,))

    def noting(self, send: Send, browser: str) -> Send:
        """`send` for the answer to an upload, of which the paths are noted before it is sent."""
        held = bytearray()
        is_taken = False

        async def send_noted(message: Message) -> None:
            nonlocal is_taken
            if message["type"] == "http.response.start":
                is_taken = message["status"] == 200
            elif is_taken and len(held) < _ANSWER_MAX_BYTES:
                held.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self.brought(bytes(held), browser)
            await send(message)

        return send_noted

    def _folder_of(self, path: Path) -> str | None:
        """The folder below that of uploads, links and dots followed; None elsewhere."""
        whole = path.resolve()
        return whole.relative_to(self._uploads).parts[0] if self._uploads in whole.parents else None
