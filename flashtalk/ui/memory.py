"""What keeps the app's process small between visitors. Called by app.py and ui/build.py."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.routes import App

MOST_PAGES = 1000
"""Pages whose changed components Gradio remembers, some 12 KiB each; of more, those that asked last."""
_MMAP_THRESHOLD, _LARGE_BYTES = -3, 128 << 10
"""M_MMAP_THRESHOLD of malloc.h, and where glibc begins."""


def give_large_back() -> None:
    """From now on memory of large arrays goes back to the system when they go. Without glibc nothing happens.

    By itself glibc takes a freed array for the size of others to come: it keeps as much for each thread that had one.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if change is not None:
        change(_MMAP_THRESHOLD, _LARGE_BYTES)


def keep_pages_small(app: App) -> None:
    """Gradio copies the description of every component for every page, for links to a page's state: we have none."""
    states = app.state_holder
    states.capacity = MOST_PAGES
    states.blocks = SimpleNamespace(default_config=states.blocks.default_config, blocks={})  # type: ignore[assignment]
