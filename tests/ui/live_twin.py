"""A live conversation on a clock of the test's own: the product's Run, Timeline and sound queue around a fake engine.

Used by test_live_delay.py. Nothing waits: an engine of known cost gives exact delays however busy the machine is.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtalk.config import StreamConfig
from flashtalk.config_app import LiveConfig
from flashtalk.types import VideoChunk
from flashtalk.ui.live.run import Run
from tests.source import ROOT

RATE, PIECE = 16000, 640
TICK_S = 0.02
"""How often a session's thread looks at its microphone."""
WORKLET = ROOT / "flashtalk/ui/live/static/playback-worklet.js"

Cost = Callable[[int], float]
"""cost(chunk) -> seconds that the engine takes for it."""


@functools.cache
def node() -> str:
    """A program that runs the page's scripts: the system's, or the one that playwright brings."""
    found = shutil.which("node")
    if found is None:
        driver = pytest.importorskip("playwright._impl._driver", reason="needs node, or the playwright package")
        found = str(driver.compute_driver_executable()[0])
    return found


class NoPacker:
    """Run only carries it."""

    def begin(self, epoch: int, at_s: float) -> Iterator[Any]:
        return iter(())

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Any]:
        return iter(())


@dataclass
class FakeStream:
    """An engine of its own that takes `cost(chunk)` seconds."""

    cost: Cost
    config: StreamConfig = field(default_factory=lambda: StreamConfig(first_chunk_frames=17))
    made: int = 0
    line_S: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    done_s: float | None = None

    def feed(self, samples_S: np.ndarray) -> None:
        self.line_S = np.concatenate((self.line_S, samples_S))

    def advance(self, now_s: float) -> VideoChunk | None:
        """Begin a chunk that has its sound; give the one that is done by now."""
        frames = (17 if self.made == 0 else 33) - 5
        if self.done_s is None and len(self.line_S) >= frames * 640:
            self.done_s = now_s + self.cost(self.made)
        if self.done_s is None or now_s < self.done_s:
            return None
        samples_S, self.line_S, self.done_s = self.line_S[: frames * 640], self.line_S[frames * 640 :], None
        self.made += 1
        return VideoChunk(self.made - 1, 0, np.zeros((frames, 2, 2, 3), np.uint8), samples_S, RATE, 25)


@dataclass
class Played:
    """What the visitor got: trace rows are (second, position on the page's clock, plays, margin, lead)."""

    trace: np.ndarray
    heard_S: np.ndarray
    """At 48 kHz."""
    underruns: int
    chunks: list[dict[str, Any]]
    words_lost_s: float

    def delays(self) -> np.ndarray:
        """Rows (second, seconds since what is heard then was said), where a microphone was heard."""
        rows = []
        for at_s, position, plays, *_ in self.trace:
            chunk = next((c for c in self.chunks if c["start_s"] <= position < c["end_s"]), None)
            if plays and chunk and chunk["captured"] is not None:
                said_s = (chunk["captured"] - (chunk["end_s"] - position) * RATE) / RATE
                rows.append((at_s, at_s - said_s))
        return np.array(rows)


def converse(microphone_S: np.ndarray, cost: Cost, *, on_the_way: Cost = lambda _chunk: 0.01) -> Played:
    """Say all of it in real time from second 0; on_the_way: seconds from a chunk's being made to its arrival."""
    stream, settings = FakeStream(cost), LiveConfig()
    run = Run(stream, NoPacker(), clock_s=0.0, base=0, now_s=0.0)  # type: ignore[arg-type]
    chunks: list[dict[str, Any]] = []
    said, now_s, seconds = 0, 0.0, len(microphone_S) / RATE
    while now_s < seconds:
        now_s += TICK_S
        while said + PIECE <= now_s * RATE + 1e-6:
            run.hear(microphone_S[said : said + PIECE], said, now_s, settings.max_waiting_s)
            said += PIECE
        run.feed(run.timeline.fill(now_s), now_s)
        if chunk := stream.advance(now_s):
            start_s = run.clock_s
            run.take(chunk, now_s)
            arrives_s = max(now_s + on_the_way(chunk.index), chunks[-1]["at"] if chunks else 0.0)
            chunks.append({"at": arrives_s, "start_s": start_s, "end_s": run.clock_s, "captured": run.captured})
            chunks[-1]["samples"] = chunk.samples
    return _play(chunks, seconds, run.timeline.words_lost_s)


def _play(chunks: list[dict[str, Any]], seconds: float, words_lost_s: float) -> Played:
    events = [
        {"at": c["at"], "start": c["start_s"], "rate": RATE, "samples": (c["samples"] * 32767).astype(int).tolist()}
        for c in chunks
    ]
    asked = json.dumps({"worklet": WORKLET.as_uri(), "seconds": seconds, "events": events})
    script = Path(__file__).with_name("live_player.mjs")
    done = subprocess.run([node(), str(script)], input=asked, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Played(np.array(told["trace"][1:], float), np.array(told["heard"]), told["underruns"], chunks, words_lost_s)
