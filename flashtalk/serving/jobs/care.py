"""What is done when something goes wrong around a job. Called by room.py."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from flashtalk.serving.jobs.record import JobFolder

_log = logging.getLogger(__name__)


@contextmanager
def logged(words: str) -> Iterator[None]:
    """Errors go no further, a library's wish to end the program included: the room's threads live as long as it."""
    try:
        yield
    except BaseException:
        _log.exception(words)


@contextmanager
def removed_on_error(folder: JobFolder) -> Iterator[None]:
    """A job that does not come to be leaves nothing behind."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
