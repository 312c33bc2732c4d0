"""Times of named stages without stopping the device: CUDA events, read when a chunk is done; plain time on a CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class StageClock:
    """Collects spans; `read()` gives seconds by name since the last reading, and starts anew."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[str, float | torch.cuda.Event, float | torch.cuda.Event]] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        start = self._now()
        yield
        self._spans.append((name, start, self._now()))

    def clear(self) -> None:
        """Forget spans that nobody read: those of a chunk that failed."""
        self._spans.clear()

    def read(self) -> dict[str, float]:
        """Seconds by stage. On CUDA the caller must have waited for the device."""
        totals: dict[str, float] = {}
        for name, start, end in self._spans:
            totals[name] = totals.get(name, 0.0) + self._seconds(start, end)
        self._spans.clear()
        return totals

    def _now(self) -> float | torch.cuda.Event:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        # By itself it marks the process's current device, which need not be the one that computes.
        event.record(torch.cuda.current_stream(self._device))
        return event

    @staticmethod
    def _seconds(start: float | torch.cuda.Event, end: float | torch.cuda.Event) -> float:
        if isinstance(start, float) and isinstance(end, float):
            return end - start
        assert isinstance(start, torch.cuda.Event)
        assert isinstance(end, torch.cuda.Event)
        return start.elapsed_time(end) / 1000
