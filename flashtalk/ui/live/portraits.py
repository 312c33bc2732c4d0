"""Faces for live conversations: ours from assets, and those that visitors bring, kept for a while in memory.

Called by ui/tabs/microphone.py (which opens uploads through the door) and by live/route.py through `find`.
"""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.image import open_portrait
from flashtalk.ui.browsers import Asker

_MOST, _MOST_OF_ADDRESS, _MOST_OF_VISITOR = 64, 16, 4
"""Pictures kept at one time: of all, from one address, of one visitor; the oldest of those goes first."""
_MOST_PIXELS = 2_500_000
"""Of each: more than any film shows."""


@dataclass(frozen=True)
class _Brought:
    portrait_HWC: np.ndarray
    owner: str
    asker: Asker
    until_s: float


class Portraits:
    """Thread-safe. Portraits are RGB uint8 [H, W, 3]."""

    def __init__(self, folder: Path, age_s: float) -> None:
        self.samples = {path.stem: path for path in sorted(folder.glob("*.png"))}
        self._age_s = age_s
        self._lock = threading.Lock()
        self._brought: dict[str, _Brought] = {}

    def bring(self, portrait_HWC: np.ndarray, owner: str, asker: Asker) -> str:
        """Keep a visitor's picture, or a smaller copy; returns the name under which only this owner finds it."""
        name, small_HWC = "own-" + secrets.token_urlsafe(16), _small(portrait_HWC)
        with self._lock:
            self._make_room(_MOST_OF_VISITOR, lambda other: other.visitor == asker.visitor)
            self._make_room(_MOST_OF_ADDRESS, lambda other: "" != other.address == asker.address)
            self._make_room(_MOST, lambda _other: True)
            self._brought[name] = _Brought(small_HWC, owner, asker, time.monotonic() + self._age_s)
        return name

    def _make_room(self, most: int, counts: Callable[[Asker], bool]) -> None:
        """For one more of those whom `counts` names."""
        names = [name for name, brought in self._brought.items() if counts(brought.asker)]
        for name in names[: max(0, len(names) + 1 - most)]:
            del self._brought[name]

    def find(self, name: str, owner: str) -> np.ndarray:
        """A portrait by name. Raises InputError(portrait_gone), the same for unknown, old and others' pictures."""
        if name in self.samples:
            return open_portrait(self.samples[name])
        with self._lock:
            brought = self._brought.get(name)
        if brought is None or brought.owner != owner or brought.until_s < time.monotonic():
            raise InputError("This picture is not here any more; choose or upload one again.", code="portrait_gone")
        return brought.portrait_HWC

    def forget_old(self) -> None:
        """By age; also called while nobody asks."""
        now_s = time.monotonic()
        with self._lock:
            for name in [name for name, brought in self._brought.items() if brought.until_s < now_s]:
                del self._brought[name]


def _small(portrait_HWC: np.ndarray) -> np.ndarray:
    """Means of whole blocks: copies of large pictures in many threads are memory that is not given back."""
    height, width, _ = portrait_HWC.shape
    side = math.ceil(math.sqrt(height * width / _MOST_PIXELS))
    rows, columns = height // side, width // side
    if side == 1 or not (rows and columns):
        return portrait_HWC
    blocks = portrait_HWC[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return (blocks.sum(axis=(1, 3), dtype=np.uint32) // side**2).astype(np.uint8)
