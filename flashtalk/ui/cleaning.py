"""Removes visitors' files when they are old enough, those of an app that was killed included, and what is in memory
of them. Made by ui/build.py.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flashtalk.serving.ages import Ages

EVERY_S = 30.0
_OURS = re.compile(r"[0-9a-f]{32,64}|tmp\w+")
"""Names that Gradio and we give: a folder for each file, and uploads that were broken off."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """What lies in `folder` goes after `age_s`."""

    folder: Path
    age_s: float


class Cleaner:
    """Sweeps in a thread of its own while it is open; a context. `age_s`: of what was changed at a Unix time."""

    def __init__(self, rules: Sequence[Rule], age_s: Callable[[float], float] | None = None) -> None:
        self._rules = rules
        self._age_s = age_s or Ages().age_s
        self._forgetters: list[Callable[[], None]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="cleaner", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def also(self, forget_old: Callable[[], None]) -> None:
        """Call this after each sweep: by those who keep in memory what was in such a file."""
        self._forgetters.append(forget_old)

    def sweep(self) -> None:
        """Remove what is too old now."""
        for rule in self._rules:
            for entry in rule.folder.iterdir() if rule.folder.is_dir() else ():
                if _OURS.fullmatch(entry.name) and self._age_s(_changed_s(entry)) > rule.age_s:
                    _remove(entry)
        for forget_old in self._forgetters:
            forget_old()

    def _work(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                self.sweep()
            except Exception:
                # Whatever it was: without this thread visitors' files would stay for ever.
                _log.warning("visitors' files could not be swept; tried again soon", exc_info=True)


def _changed_s(entry: Path) -> float:
    """When the newest of it was put there. Not the time of its last change: copies keep that of their source."""
    try:
        return max(file.lstat().st_ctime for file in (entry, *(entry.iterdir() if entry.is_dir() else ())))
    except FileNotFoundError:
        return float("inf")


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
