"""A job's sound on the disk: plain samples, written once from the door's blocks, read again in any piece.

Called by intake.py and render.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flashtalk.errors import EngineError
from flashtalk.media.part_file import plain_errors

_FULL_SCALE = 32767.0


def write_voice(path: Path, blocks: Iterable[np.ndarray]) -> int:
    """float32 [S] pieces; returns the samples of all."""
    with plain_errors("the voice"), path.open("wb") as file:
        return sum(file.write(block_S.astype("<f4").data.cast("B")) // 4 for block_S in blocks)


def read_voice(path: Path, start: int, end: int) -> np.ndarray:
    """float32 [end - start]. Raises EngineError(job_damaged)."""
    return np.frombuffer(_read(path, 4 * start, 4 * end), "<f4").astype(np.float32)


def write_track(path: Path, blocks: Iterable[np.ndarray]) -> None:
    """float32 [S] or [S, 2] pieces, kept as 16 bits."""
    with plain_errors("the sound"), path.open("wb") as file:
        for block in blocks:
            file.write(np.round(block * _FULL_SCALE).astype("<i2").data.cast("B"))


def read_track(path: Path, channels: int, start: int, end: int | None = None) -> np.ndarray:
    """float32 [S] (one channel) or [S, 2]; end None: all that is left. Raises EngineError(job_damaged)."""
    size = 2 * channels
    data = _read(path, size * start, None if end is None else size * end)
    samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)
    return samples if channels == 1 else samples.reshape(-1, channels)


def _read(path: Path, start: int, end: int | None) -> bytes:
    """All that is left if `end` is None; otherwise what is not there is missed: no film falls silent."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(-1 if end is None else max(0, end - start))
    except OSError:
        raise _damaged() from None
    if end is not None and len(data) < end - start:
        raise _damaged()
    return data


def _damaged() -> EngineError:
    return EngineError("The sound of this film is gone; begin it again.", code="job_damaged")
