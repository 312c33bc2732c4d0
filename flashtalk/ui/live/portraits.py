"""Faces for live conversations: ours from assets, and those that visitors bring, kept for a while in memory.

Called by ui/tabs/microphone.py (which opens uploads through the door) and by live/route.py through `find`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.image import open_portrait

_MOST = 32
"""Pictures of visitors kept at one time; the oldest goes first."""


@dataclass(frozen=True)
class _Brought:
    portrait_HWC: np.ndarray
    owner: str
    until_s: float


class Portraits:
    """Thread-safe. Portraits are RGB uint8 [H, W, 3]."""

    def __init__(self, folder: Path, age_s: float) -> None:
        self.samples = {path.stem: path for path in sorted(folder.glob("*.png"))}
        self._age_s = age_s
        self._lock = threading.Lock()
        self._brought: OrderedDict[str, _Brought] = OrderedDict()

    def bring(self, portrait_HWC: np.ndarray, owner: str) -> str:
        """Keep a visitor's picture; returns the name under which only this owner finds it."""
        name = "own-" + secrets.token_urlsafe(16)
        with self._lock:
            self._brought[name] = _Brought(portrait_HWC, owner, time.monotonic() + self._age_s)
            if len(self._brought) > _MOST:
                self._brought.popitem(last=False)
        return name

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
