"""An engine without networks whose frames say whose they are: the portrait's first byte, the chunk, a sum of its sound.

`worker.serve` runs it in a thread as it runs the real one, so everything above the networks is the product's own.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import deque
from collections.abc import Callable

import numpy as np
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import from_tree, to_tree
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import CheckpointError, EngineError, InputError, WorkerLost
from flashtalk.parallel.groups import Place
from flashtalk.serving.client import House
from flashtalk.serving.launch import Rank
from flashtalk.serving.local import ThreadRank
from flashtalk.serving.protocol import Client
from flashtalk.types import VideoChunk

BEREFT, NUMBERLESS, REFUSED, BROKEN, DEADLY, STUCK, STARVED = 248, 249, 250, 251, 252, 253, 254
"""Portraits of visitors whose streams lose another rank, are no numbers, cannot be opened, fail, end their rank, hang,
find no memory."""

CANARY = 128
"""The portrait with which an engine is tried; one that `ails` then hangs, fails or paints something else. One that
"breaks" fails, and one that "sticks" hangs, at any portrait."""


class FakeSession:
    def __init__(self, engine: FakeEngine, stream: StreamConfig, stamp: int, index: int = 0, start: int = 0) -> None:
        self.stream, self.stamp, self.index, self.start = stream, stamp, index, start
        self._engine = engine
        self._sound = np.empty(0, np.float32)
        self._ended = False

    @property
    def samples_needed(self) -> int:
        frames = self.stream.first_chunk_frames if self.index == 0 else self.stream.chunk_frames
        return self.start + (frames - self.stream.motion_frames) * self.stream.samples_per_frame

    def push(self, samples_S: np.ndarray) -> None:
        self._sound = np.concatenate((self._sound, samples_S))

    def flush(self) -> None:
        assert not self._ended, "the end was told twice"
        self._ended = True

    def interrupt(self) -> None:
        self._sound = self._sound[:0]

    def step(self) -> VideoChunk:
        if self.stamp != CANARY:
            self._engine.steps.append(self.stamp)
            self._engine.heard.append(len(self._sound))
        self._engine.misbehave(self.stamp)
        count = self.samples_needed - self.start
        assert self._ended or len(self._sound) >= count
        samples, self._sound = self._sound[:count], self._sound[count:]
        frames = -(-len(samples) // self.stream.samples_per_frame)
        chunk = VideoChunk(
            self.index,
            self.start // self.stream.samples_per_frame,
            stamped(self.stamp, self.index, samples, frames) ^ (0xFF if self._engine.ails == "paints" else 0),
            samples,
            self.stream.sample_rate,
            self.stream.fps,
            {"total": 0.0},
        )
        self.index, self.start = self.index + 1, self.start + len(samples)
        return chunk

    def snapshot(self) -> bytes:
        tree = {"stream": to_tree(self.stream), "stamp": self.stamp, "index": self.index, "start": self.start}
        return json.dumps(tree).encode()

    def close(self) -> None:
        self._engine.open_sessions -= 1


class FakeEngine:
    """`release` lets go of streams that are stuck; `steps` lists whose chunks were made, in order, `heard` the samples
    that were there for each.
    """

    def __init__(self, config: Config, rank: int) -> None:
        self.config, self.rank = config, rank
        self.info = EngineInfo("fake", True, 0, "cpu", "float32", "none", "fake-0", "no machine")
        self.steps: list[int] = []
        self.heard: list[int] = []
        self.open_sessions = 0
        self.release = threading.Event()
        self.ails = ""

    def open(self, portrait: np.ndarray, *, prompt: str = "", **settings: object) -> FakeSession:
        stamp = int(portrait.flat[0])
        settings = settings or vars(self.config.stream)
        if stamp == REFUSED:
            raise InputError("this face cannot be used", code="face")
        return self._keep(FakeSession(self, StreamConfig(**settings), stamp))  # type: ignore[arg-type]

    def restore(self, saved: bytes) -> FakeSession:
        tree = json.loads(saved)
        stream = from_tree(StreamConfig, tree["stream"])
        return self._keep(FakeSession(self, stream, tree["stamp"], tree["index"], tree["start"]))

    def misbehave(self, stamp: int) -> None:
        if stamp == CANARY and self.ails == "hangs":
            self.release.wait(60)
        if stamp == NUMBERLESS or (stamp == CANARY and self.ails == "fails"):
            raise EngineError("no picture", code="not_finite")
        if stamp == BROKEN or self.ails == "breaks":
            raise ValueError("a secret of ours")
        if stamp == DEADLY:
            raise torch.AcceleratorError("an illegal memory access was encountered")
        if stamp == BEREFT:
            raise WorkerLost("rank 0 of 2 lost another rank", code="rank_lost")
        if stamp == STARVED:
            raise EngineError("this chunk did not fit into the device's memory", code="out_of_memory")
        if stamp == STUCK or self.ails == "sticks":
            self.release.wait(60)

    def on_progress(self, tell: Callable[[], None]) -> None:
        self.tell = tell

    def __enter__(self) -> FakeEngine:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def _keep(self, session: FakeSession) -> FakeSession:
        self.open_sessions += 1
        return session


class FakeHouse(House):
    """A house of fake engines; `engines`: all that were built. While `broken` none can be; `barren`: no rank."""

    broken = barren = False

    def __init__(self, config: Config, *, isolated: bool = True) -> None:
        self.engines: list[FakeEngine] = []
        self._ranks: deque[Rank] = deque(maxlen=config.parallel.ranks)
        super().__init__(config, self._begin, isolated=isolated)
        self.start()

    def kill(self, rank: int) -> None:
        """As a crash would."""
        self._ranks[rank].channel.close()

    def _begin(self) -> Rank:
        if self.barren:
            raise OSError("no process could be made")
        self._ranks.append(ThreadRank(self._build))  # type: ignore[arg-type,return-value]
        return self._ranks[-1]

    def _build(self, config: Config, place: Place) -> FakeEngine:
        if self.broken:
            raise CheckpointError("no weights today")
        engine = FakeEngine(config, place.rank)
        self.engines.append(engine)
        return engine

    def close(self) -> None:
        for engine in self.engines:
            engine.release.set()
        super().close()


def face(stamp: int) -> np.ndarray:
    return np.full((2, 2, 3), stamp, np.uint8)


def stamped(stamp: int, index: int, samples: np.ndarray, frames: int) -> np.ndarray:
    """Frames [F, 1, 3, 2]: whose, which, of what sound."""
    heard = zlib.crc32(samples.tobytes()) & 0xFFFF
    marks = np.array([stamp, stamp, index & 255, index >> 8, heard & 255, heard >> 8], np.uint8).reshape(1, 3, 2)
    return np.broadcast_to(marks, (frames, 1, 3, 2)).copy()


def is_own(chunk: VideoChunk, stamp: int) -> bool:
    wanted = stamped(stamp, chunk.index, chunk.samples, len(chunk.frames_FHWC))
    return np.array_equal(chunk.frames_FHWC, wanted)


def sound(stamp: int, chunks: float) -> np.ndarray:
    """Sound that no other visitor (below 80) has: samples count on from the stamp, in steps that float32 can hold."""
    return (stamp * 200_000 + np.arange(round(chunks * 28 * 640))).astype(np.float32)


def film(house: Client, stamp: int, chunks: float = 2.5, **changes: object) -> np.ndarray:
    """A whole visit; the sound of all chunks."""
    with house.open(face(stamp), **changes) as seat:
        seat.feed(sound(stamp, chunks))
        seat.finish()
        made = list(iter(lambda: seat.next(60.0), None))
    assert [chunk.index for chunk in made] == list(range(len(made)))
    assert all(is_own(chunk, stamp) for chunk in made)
    return np.concatenate([chunk.samples for chunk in made])
