"""What each address brings and brought lately, so that nobody fills the disk or the lists of files for all the others.

For ui/shutters.py.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any

from starlette.requests import ClientDisconnect

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_MOST_FILES = 8192
"""Of one address within the age; as many talks in the plain live mode as it may have bring some 7000."""
_TOGETHER = 64
"""Parts of the age; what came within one is kept as one."""
_NAMED = b"filename"
"""Stands before each file of an upload, in letters of any size."""


class Arrivals:
    """Not thread-safe: for the event loop. most_bytes: of one address within `age_s`; `now_s` never goes back.

    What breaks off has come as well: the disk holds it as long as what is whole.
    """

    def __init__(self, most_bytes: int, age_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._age_s = age_s
        self._now_s = now_s
        self._came: dict[str, deque[tuple[float, int, int]]] = {}
        """(since when, bytes, files) of each address."""
        self.to_come: Counter[str] = Counter()
        """Bytes that uploads under way will still bring, by address."""

    def are_too_many(self, address: str, size: int) -> bool:
        """Whether `size` more bytes are too much."""
        self._forget_old()
        came = self._came.get(address, ())
        wanted = sum(size for _, size, _ in came) + self.to_come[address] + size
        return wanted > self._most_bytes or sum(files for *_, files in came) >= _MOST_FILES

    def add(self, address: str, size: int, files: int) -> None:
        """What came."""
        came, now_s = self._came.setdefault(address, deque()), self._now_s()
        if came and now_s - came[-1][0] < self._age_s / _TOGETHER:
            now_s, before, files_before = came.pop()
            size, files = before + size, files_before + files
        came.append((now_s, size, files))

    @contextmanager
    def one_more(self, address: str, size: int, receive: Receive) -> Iterator[Receive]:
        """Inside, an upload of `size` bytes is under way; what it brings counts as it comes, even if it breaks off."""
        left, torn = size, b""
        self.to_come[address] += size

        async def counted() -> Message:
            nonlocal left, torn
            message = await receive()
            body = bytes(message.get("body", b""))
            text = torn + body.lower()
            torn = text[1 - len(_NAMED) :]
            self.add(address, len(body), text.count(_NAMED))
            came = min(left, len(body))
            left -= came
            self.to_come[address] -= came
            return message

        try:
            with suppress(ClientDisconnect):  # nobody is there to be told, and the log would hold a page of each
                yield counted
        finally:
            self.to_come[address] -= left
            self.to_come += Counter()  # drops addresses that have none

    def _forget_old(self) -> None:
        oldest_s = self._now_s() - self._age_s * (1 + 1 / _TOGETHER)
        for address, came in list(self._came.items()):
            while came and came[0][0] < oldest_s:
                came.popleft()
            if not came:
                del self._came[address]
