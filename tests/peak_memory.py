"""The most memory that something takes, for tests of what must not be held."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most bytes held beyond those at the start, looked at every half millisecond."""
    process, done, seen = psutil.Process(), threading.Event(), [0]
    start = process.memory_info().rss

    def look() -> None:
        while not done.wait(0.0005):
            seen[0] = max(seen[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        seen[0] = max(seen[0], process.memory_info().rss - start)
