"""How fast a film grows, in words and numbers. Used by generate.py."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from flashtalk.engine.memory import peak_rss_bytes


class Pace:
    """Counts frames against the clock, which starts when this is made."""

    def __init__(self, fps: int, *, done: int = 0, total: int | None = None) -> None:
        self._fps = fps
        self._total = total
        self._started_s = time.perf_counter()
        self.frames = done
        self.made = 0

    @property
    def wall_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started_s

    def add(self, frames: int) -> None:
        """Frames that are in the film now."""
        self.frames += frames
        self.made += frames

    def words(self, chunk_index: int, chunk_s: float) -> str:
        """One line on the chunk just made and what is left."""
        of_total = f"/{self._total}" if self._total and self._total >= self.frames else ""
        line = f"chunk {chunk_index + 1} in {chunk_s:.2f} s, frame {self.frames}{of_total}, "
        return line + speed_words(self.made, self.wall_s, self._fps) + self._left()

    def _left(self) -> str:
        if not self._total or self._total <= self.frames:
            return ""
        return f", {clock_words((self._total - self.frames) * self.wall_s / self.made)} left"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished film. `made_frames` of its frames were computed by this run, in `wall_s` seconds."""

    path: Path
    frames: int
    fps: int
    made_frames: int
    wall_s: float
    peak_bytes: int | None
    """None: the engine ran in processes of its own."""

    def words(self) -> str:
        """The result line."""
        line = f"{self.path}: {self.frames / self.fps:.2f} s, {self.frames} frames"
        if self.made_frames:
            now = "" if self.made_frames == self.frames else f" ({self.made_frames} of them now)"
            line += f"{now} in {self.wall_s:.1f} s, {speed_words(self.made_frames, self.wall_s, self.fps)}"
        return f"{line}, peak memory {self.peak_bytes / 1e6:,.0f} MB" if self.peak_bytes else line


def speed_words(frames: int, wall_s: float, fps: int) -> str:
    """Frames a second, and seconds of computing for a second of film: up to 1 keeps up with the speech."""
    rate = frames / max(wall_s, 1e-9)
    return f"{rate:.1f} fps, real-time factor {fps / rate:.2f}"


def clock_words(seconds: float) -> str:
    """`42 s`, `3:05 min`, `2:00:07 h`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def peak_memory_bytes() -> int:
    """The most that this process ever held, the GPU's memory included."""
    gpus = range(torch.cuda.device_count())
    return peak_rss_bytes() + sum(torch.cuda.max_memory_allocated(gpu) for gpu in gpus)
