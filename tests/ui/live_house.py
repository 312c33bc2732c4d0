"""A house whose engine takes a known time for a chunk and costs no work: the live path's own share is what is left.

Its pictures are grey, lighter in the middle where the sound is loud. Used by test_live_browser.py.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable

import numpy as np

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import from_tree
from flashtalk.parallel.groups import Place
from flashtalk.types import VideoChunk
from tests.serving.fakes import FakeEngine, FakeHouse, FakeSession

GREY = 110
SIZE_PX = 64


class PacedHouse(FakeHouse):
    """cost_s(): seconds that the next chunk takes."""

    def __init__(self, config: Config, cost_s: Callable[[], float]) -> None:
        self._cost_s = cost_s
        super().__init__(config)

    def _build(self, config: Config, place: Place) -> FakeEngine:
        self.engines.append(PacedEngine(config, place.rank, self._cost_s))
        return self.engines[-1]


class PacedEngine(FakeEngine):
    def __init__(self, config: Config, rank: int, cost_s: Callable[[], float]) -> None:
        super().__init__(config, rank)
        self.cost_s = cost_s

    def open(self, portrait: np.ndarray, *, prompt: str = "", **settings: object) -> FakeSession:
        stream = StreamConfig(**settings) if settings else self.config.stream  # type: ignore[arg-type]
        return self._keep(PacedSession(self, stream, int(portrait.flat[0])))

    def restore(self, saved: bytes) -> FakeSession:
        tree = json.loads(saved)
        stream = from_tree(StreamConfig, tree["stream"])
        return self._keep(PacedSession(self, stream, tree["stamp"], tree["index"], tree["start"]))


class PacedSession(FakeSession):
    _engine: PacedEngine

    def step(self) -> VideoChunk:
        began_s = time.monotonic()
        chunk = super().step()
        time.sleep(self._engine.cost_s())
        frames = pictures(chunk.samples, len(chunk.frames_FHWC))
        return dataclasses.replace(chunk, frames_FHWC=frames, timings_s={"total": time.monotonic() - began_s})


def pictures(samples_S: np.ndarray, frames: int) -> np.ndarray:
    """[F, SIZE_PX, SIZE_PX, 3]."""
    loud_F = np.abs(np.resize(samples_S, frames * 640).reshape(frames, 640)).mean(axis=1)
    made = np.full((frames, SIZE_PX, SIZE_PX, 3), GREY, np.uint8)
    made[:, 20:44, 20:44] = np.clip(GREY + 800 * loud_F, 0, 255).astype(np.uint8)[:, None, None, None]
    return made
