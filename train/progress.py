"""What a run tells while it goes: a line with the time left, metrics.jsonl, TensorBoard if installed, pictures.

Called by every trainer on every rank; only the first rank writes and shows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TextIO, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from train.ranks import Ranks

METRICS, SUMMARY = "metrics.jsonl", "summary.json"
SHOWN = 6
"""Numbers on the line; the file has all."""

Stats = Mapping[str, float | Tensor]


class Board(Protocol):
    """What is used of TensorBoard's SummaryWriter."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """A point of a curve."""

    def add_image(self, tag: str, img_tensor: np.ndarray, global_step: int, dataformats: str) -> None:
        """A picture."""

    def flush(self) -> None:
        """Write what is held back."""

    def close(self) -> None:
        """End the file."""


def open_board(folder: Path) -> tuple[Board | None, str]:
    """TensorBoard's writer, or none and a hint."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  optional, and slow to import
    except ImportError:
        return None, f"for live curves install tensorboard; the numbers are in {METRICS} in any case"
    return cast(Board, SummaryWriter(str(folder / "tensorboard"))), ""


class Progress:
    """Means over the iterations since the last line and over ranks; use as a context manager.

    total: iterations of the run. log_every: iterations between lines; numbers stay on the device until then.
    """

    def __init__(
        self, folder: Path, total: int, ranks: Ranks, log_every: int = 20, *, stream: TextIO | None = None
    ) -> None:
        self.folder, self.total, self.ranks, self.log_every = folder, total, ranks, max(1, log_every)
        self._sums: dict[str, list[Tensor]] = {}
        self._since, self._last_shown = 0, time.monotonic()
        self._stream = stream or sys.stderr
        self._board: Board | None = None

    def step(self, iteration: int, stats: Stats) -> None:
        """Take in the numbers of an iteration that is done. All ranks call it, with the same names."""
        for name, value in stats.items():
            self._sums.setdefault(name, []).append(torch.as_tensor(value).detach())
        self._since += 1
        done = iteration + 1
        if done % self.log_every == 0 or done == self.total:
            pace_s = (time.monotonic() - self._last_shown) / self._since
            means = self._means() | {"iteration_s": pace_s} | self._memory()
            self._write(iteration, means)
            self._show(done, means, pace_s * (self.total - done))
            self._since, self._last_shown = 0, time.monotonic()

    def metrics(self, iteration: int, stats: Stats) -> None:
        """Numbers of a validation, the same on all ranks; the time it took does not count as the run's pace."""
        values = {name: float(value) for name, value in stats.items()}
        self._write(iteration, values)
        self._tell(f"iteration {iteration + 1}: {_listed(values)}\n")
        self._since, self._last_shown = 0, time.monotonic()
        self._sums.clear()

    def image(self, iteration: int, name: str, rgb_HWC: np.ndarray) -> Path:
        """Keep a uint8 picture (images/NAME-ITERATION.png); gives the file, which the first rank writes."""
        file = self.file(iteration, name, ".png")
        if self.ranks.is_first:
            Image.fromarray(rgb_HWC).save(file)
            if self._board:
                self._board.add_image(name, rgb_HWC, iteration, dataformats="HWC")
        return file

    def strip(self, iteration: int, name: str, frames_FHWC: np.ndarray, most: int = 8) -> Path:
        """Keep up to `most` frames of a video, first and last among them, side by side."""
        picks = np.unique(np.linspace(0, len(frames_FHWC) - 1, most).round().astype(int))
        return self.image(iteration, name, np.concatenate(list(frames_FHWC[picks]), axis=1))

    def file(self, iteration: int, name: str, ending: str) -> Path:
        """Where a validation puts a file of its own (a video): images/NAME-ITERATION.ending, in a folder that is."""
        folder = self.folder / "images"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}-{iteration:08}{ending}"

    def summary(self, values: Mapping[str, Any]) -> None:
        """The last word of a run, plain data: summary.json. Works after the end too."""
        if self.ranks.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / SUMMARY).write_text(json.dumps(values, indent=1, default=float) + "\n")

    def _means(self) -> dict[str, float]:
        names = sorted(self._sums)
        if not names:
            return {}
        own = [
            torch.stack([value.double().to(self.ranks.device) for value in self._sums[name]]).mean() for name in names
        ]
        self._sums.clear()
        return dict(zip(names, self.ranks.all_means(torch.stack(own)), strict=True))

    def _memory(self) -> dict[str, float]:
        if self.ranks.device.type != "cuda":
            return {}
        return {"memory_gb": torch.cuda.max_memory_allocated(self.ranks.device) / 1e9}

    def _write(self, iteration: int, values: Mapping[str, float]) -> None:
        if not self.ranks.is_first:
            return
        with (self.folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, "time": round(time.time(), 1), **values}) + "\n")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, iteration)
            self._board.flush()

    def _show(self, done: int, means: Mapping[str, float], left_s: float) -> None:
        place = f"{done}/{self.total}" if done < self.total else f"{done} done"
        left = f"{readable_s(left_s)} left" if done < self.total else ""
        rest = {name: value for name, value in means.items() if name != "iteration_s"}
        parts = [place, left, f"{means['iteration_s']:.3g} s each", _listed(rest)]
        self._tell("  ".join(part for part in parts if part) + "\n")

    def _tell(self, text: str) -> None:
        if self.ranks.is_first:
            self._stream.write(text)
            self._stream.flush()

    def __enter__(self) -> Self:
        if self.ranks.is_first:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._board, hint = open_board(self.folder)
            if hint:
                self._tell(hint + "\n")
        self._last_shown = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._board:
            self._board.close()


def readable_s(seconds: float) -> str:
    """A length of time for people: 42 s, 5 min, 3 h 07 min, 2 d 04 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics in order; of an iteration done twice (after a resume) the later counts."""
    file = folder / METRICS
    lines: Sequence[str] = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    merged: dict[int, dict[str, float]] = {}
    for line in lines:
        entry = json.loads(line)
        merged[entry["iteration"]] = merged.get(entry["iteration"], {}) | entry
    return [merged[iteration] for iteration in sorted(merged)]


def _listed(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in list(values.items())[:SHOWN])
