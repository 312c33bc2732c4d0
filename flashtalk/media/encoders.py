"""Opens FFmpeg's encoders and says in plain words when they fail. Called by h264.py and aac.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av

from flashtalk.errors import EngineError


def new_encoder(name: str) -> av.CodecContext:
    """An encoder whose settings can still be made. Raises EngineError(encoder_missing)."""
    try:
        return av.CodecContext.create(name, "w")
    except (av.error.FFmpegError, ValueError) as error:
        message = f"This FFmpeg build has no encoder {name!r}; install a PyAV (or FFmpeg) build that contains it."
        raise EngineError(message, code="encoder_missing") from error


@contextmanager
def encoder_errors(what: str) -> Iterator[None]:
    """Turn FFmpeg's errors into EngineError(encoding_failed)."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise EngineError(f"Encoding {what} failed ({error.strerror}).", code="encoding_failed") from error
