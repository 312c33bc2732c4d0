"""What a process and its GPU hold, now, at most, and over a long stream. Used by bench.py."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

import numpy as np
import psutil
import torch

SAMPLE_EVERY_S = 10.0
SETTLE_S = 60.0
"""Of sound: memory is looked at so often, and growth is judged after so long."""


@dataclass(frozen=True)
class Growth:
    """Memory over a long stream, after SETTLE_S of sound; None where the device is the CPU.

    slope: least squares, bytes an hour of sound; spread: largest less smallest.
    """

    audio_s: float
    rss_slope_bytes_h: float
    rss_spread_bytes: int
    device_slope_bytes_h: float | None
    device_spread_bytes: int | None


class MemoryLog:
    """Memory of the process and of the GPU, looked at every SAMPLE_EVERY_S of sound."""

    def __init__(self, device: torch.device, fps: int) -> None:
        self._device = device
        self._fps = fps
        self._process = psutil.Process()
        self._rows: list[tuple[float, int, int]] = []

    def look(self, frames: int) -> None:
        """Take a sample if one is due; `frames` are those done so far."""
        audio_s = frames / self._fps
        if self._rows and audio_s - self._rows[-1][0] < SAMPLE_EVERY_S:
            return
        gc.collect()
        on_device = torch.cuda.memory_allocated(self._device) if self._device.type == "cuda" else 0
        self._rows.append((audio_s, self._process.memory_info().rss, on_device))

    def growth(self) -> Growth | None:
        """What happened after SETTLE_S; None if the stream was too short to tell (three samples)."""
        rows = np.array([row for row in self._rows if row[0] >= SETTLE_S], dtype=np.float64)
        if len(rows) < 3:
            return None
        audio_s, on_cuda = rows[:, 0], self._device.type == "cuda"
        slopes = [float(np.polyfit(audio_s, rows[:, column], 1)[0]) * 3600 for column in (1, 2)]
        spreads = [int(np.ptp(rows[:, column])) for column in (1, 2)]
        return Growth(
            audio_s=float(audio_s[-1] - audio_s[0]),
            rss_slope_bytes_h=slopes[0],
            rss_spread_bytes=spreads[0],
            device_slope_bytes_h=slopes[1] if on_cuda else None,
            device_spread_bytes=spreads[1] if on_cuda else None,
        )


def peak_rss_bytes() -> int:
    """The most memory that this process ever held."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # noqa: PLC0415  not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
