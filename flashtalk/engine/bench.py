"""How fast a config runs here, measured on a whole stream, and whether memory stays flat. Called by `flashtalk bench`.

Needs no files and no libraries for sound and video: portrait and speech are drawn from a seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import to_tree
from flashtalk.engine.ceilings import Ceiling
from flashtalk.engine.device import wait_for
from flashtalk.engine.engine import Engine
from flashtalk.engine.machine import machine, versions
from flashtalk.engine.memory import Growth, MemoryLog, peak_rss_bytes
from flashtalk.engine.work import Work
from flashtalk.errors import ConfigError
from flashtalk.parallel.exchange import gather
from flashtalk.parallel.groups import Ranks
from flashtalk.pipeline.session import Session

PROMPT = "a person talks to the camera"

SPEECH_LOOP_S = 20
"""Speech repeats after so long, so that an hour of it takes no memory."""

Progress = Callable[[int, int, float], None]
"""progress(chunks done, chunks in all, seconds of the last one)."""


@dataclass(frozen=True)
class StageTime:
    """Seconds a chunk."""

    p50_s: float
    p95_s: float


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One run. Times are seconds of wall clock on a warm engine if not said otherwise."""

    fps: float
    """New frames of a chunk by the median time of a chunk, sound in to uint8 frames on the host."""
    real_time_factor: float
    """Computing time by duration, of the median chunk: below 1 the stream keeps up."""
    chunk_frames: int
    """New frames a chunk."""
    chunks: int
    warmup: int
    stages: dict[str, StageTime]
    """By name; `total` is the whole chunk, and a little more than the sum of the others."""
    slowest_chunk_s: float
    first_frame_s: float
    """From the moment that a new session has the sound of its first chunk to the first of its frames on the host."""
    first_frame_cold_s: float
    """The same for the first session of the engine, compilation included."""
    session_open_s: float
    """Portrait, prompt and keys of a session."""
    session_open_cold_s: float
    engine_build_s: float
    """Reading (or drawing) the weights."""
    peak_rss_bytes: int
    """The most memory of the process since it began; of several ranks the largest."""
    peak_device_bytes: int | None
    """The most that torch held on the GPU, of several the fullest; None on a CPU."""
    growth: Growth | None
    trained: bool
    """False: random weights, good for times only."""
    engine: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    config: dict[str, Any]
    load_s: float = 0.0
    """Computing on the warm engine before the first chunk that counts."""
    chunk_s: list[float] = field(default_factory=list)
    """Each chunk that counts."""
    sound_ahead: bool = False
    """Whether the sound of the next chunk was there, as of a file; else each chunk waits for its own, as live."""
    work: dict[str, Work] = field(default_factory=dict)
    """What a chunk costs by stage, all ranks together: counted from the networks' code, not measured."""
    ceilings: dict[str, Ceiling] = field(default_factory=dict)
    """What the first rank's device reached alone right after the stream."""

    def to_tree(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run_bench(
    config: Config,
    *,
    chunks: int = 10,
    warmup: int = 2,
    minutes: float | None = None,
    load_s: float = 0.0,
    sound_ahead: bool = False,
    ranks: Ranks | None = None,
    connect: Callable[[Config, Ranks | None], Engine] = Engine,
    progress: Progress = lambda _done, _total, _seconds: None,
) -> BenchResult:
    """Stream `chunks` chunks after `warmup` others, or as many as `minutes` of sound have, and measure.

    Before they count, the engine computes for `load_s` seconds, so that it is as hot as in service. See BenchResult for
    `sound_ahead`. `connect` makes the engine. All `ranks` of a group call it. Raises ConfigError for counts that
    measure nothing, and what the engine raises.
    """
    chunks = chunks if minutes is None else _chunks_in(config.stream, minutes * 60)
    if chunks < 1 or warmup < 1:
        raise ConfigError(f"a benchmark needs 1 chunk and 1 for warming up at least, not {chunks} and {warmup}")
    stream, speech = config.stream, SpeechLoop(config.stream.sample_rate)
    new_frames = stream.chunk_frames - stream.motion_frames
    began_s = time.perf_counter()
    with connect(config, ranks) as engine:
        info, device = asdict(engine.info), torch.device(engine.info.device)
        build_s = _since(began_s, device)
        cold = _open_and_step(engine, _Feed(speech, sound_ahead), device)
        loaded_s = _load(cold, warmup, load_s, ranks)
        times, growth = _stream(cold, device, chunks, progress)
        cold.session.close()
        warm = _open_and_step(engine, _Feed(speech, sound_ahead), device)
    stages, (peak_rss, peak_device) = times.summary(), _peaks(device, ranks)
    return BenchResult(
        fps=new_frames / stages["total"].p50_s,
        real_time_factor=stages["total"].p50_s * stream.fps / new_frames,
        chunk_frames=new_frames,
        chunks=chunks,
        warmup=warmup,
        stages=stages,
        slowest_chunk_s=max(times.each("total")),
        first_frame_s=warm.first_frame_s,
        first_frame_cold_s=cold.first_frame_s,
        session_open_s=warm.open_s,
        session_open_cold_s=cold.open_s,
        engine_build_s=build_s,
        peak_rss_bytes=peak_rss,
        peak_device_bytes=peak_device if device.type == "cuda" else None,
        growth=growth,
        trained=info["trained"],
        engine=info,
        machine=machine(device),
        versions=versions(),
        config=to_tree(config),
        load_s=loaded_s,
        chunk_s=times.each("total"),
        sound_ahead=sound_ahead,
    )


class SpeechLoop:
    """Endless sound with a voice's shape: a gliding buzz with its harmonics, in syllables and pauses. Float32 mono."""

    def __init__(self, sample_rate: int, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        time_s = np.arange(SPEECH_LOOP_S * sample_rate) / sample_rate
        # Whole numbers of periods in the loop, so that its seam is not heard.
        pitch_hz = 120 + 20 * np.sin(2 * np.pi * time_s * 7 / SPEECH_LOOP_S)
        phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
        tract = draw.uniform(0.2, 1.0, 24) / np.arange(1, 25)
        buzz = sum(weight * np.sin((i + 1) * phase) for i, weight in enumerate(tract))
        syllables = np.clip(np.sin(2 * np.pi * 4 * time_s) + 0.3, 0, None)
        phrases = np.sin(2 * np.pi * time_s * 5 / SPEECH_LOOP_S) > -0.7
        sound = (buzz + 0.05 * draw.standard_normal(len(time_s))) * syllables * phrases
        self._samples = (0.3 * sound / np.abs(sound).max()).astype(np.float32)
        self._next = 0

    def take(self, samples: int) -> np.ndarray:
        """The next samples."""
        index = np.arange(self._next, self._next + samples) % len(self._samples)
        self._next = (self._next + samples) % len(self._samples)
        return self._samples[index]


class Times:
    """Seconds by stage and chunk, in arrays made at once: a growing list would look like a leak."""

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks
        self._done = 0
        self._by_stage: dict[str, np.ndarray] = {}

    def add(self, timings_s: dict[str, float]) -> None:
        """One chunk."""
        for name, seconds in timings_s.items():
            self._by_stage.setdefault(name, np.zeros(self._chunks))[self._done] = seconds
        self._done += 1

    def each(self, stage: str) -> list[float]:
        """One number a chunk."""
        return self._by_stage[stage].tolist()

    def summary(self) -> dict[str, StageTime]:
        """Median and 95th percentile."""
        return {
            name: StageTime(float(np.percentile(seconds, 50)), float(np.percentile(seconds, 95)))
            for name, seconds in self._by_stage.items()
        }


def draw_portrait(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, uint8 RGB [H, W, 3]; never flat, since some kernels are faster on zeros."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (6, 6, 3))
    rows = _stretched(coarse, height)
    return _stretched(rows.swapaxes(0, 1), width).swapaxes(0, 1).round().astype(np.uint8)


class _Feed:
    """Gives a session its sound, chunk by chunk."""

    def __init__(self, speech: SpeechLoop, ahead: bool) -> None:
        self._speech, self._ahead = speech, ahead
        self._given = 0

    def give(self, session: Session) -> None:
        """What its next chunk needs, or, ahead, that and the one after it."""
        stream = session.stream
        spare = self._ahead * (stream.chunk_frames - stream.motion_frames) * stream.samples_per_frame
        missing = session.samples_needed + spare - self._given
        session.push(self._speech.take(missing))
        self._given += missing


@dataclass(frozen=True)
class _Start:
    """A session after its first chunk, which took chunk_s."""

    session: Session
    feed: _Feed
    open_s: float
    first_frame_s: float
    chunk_s: float

    def step(self) -> dict[str, float]:
        """Another chunk: its times by stage."""
        self.feed.give(self.session)
        return dict(self.session.step().timings_s)


def _open_and_step(engine: Engine, feed: _Feed, device: torch.device) -> _Start:
    """A new session and its first chunk."""
    stream, came_s = engine.config.stream, list[float]()
    picture_HWC = draw_portrait(stream.height, stream.width)
    began_s = time.perf_counter()
    session = engine.open(picture_HWC, prompt=PROMPT)
    open_s = _since(began_s, device)
    feed.give(session)
    started = time.perf_counter()
    chunk = session.step(lambda _frames_FHWC: came_s.append(time.perf_counter() - started))
    return _Start(session, feed, open_s, came_s[0], chunk.timings_s["total"])


def _load(cold: _Start, warmup: int, load_s: float, ranks: Ranks | None) -> float:
    """Chunks that do not count: `warmup` with the first one, then more until `load_s` have passed; the seconds of all.

    Ranks must compute equally many, so that the first one says whether another is wanted.
    """
    started_s = time.perf_counter() - cold.chunk_s
    for _ in range(warmup - 1):
        cold.step()
    while _said_by_first(time.perf_counter() - started_s < load_s, ranks):
        cold.step()
    return time.perf_counter() - started_s


def _said_by_first(more: bool, ranks: Ranks | None) -> bool:
    if ranks is None:
        return more
    with ranks.watch():
        return bool(ranks.from_first(lambda: torch.tensor([float(more)], device=ranks.device)))


def _peaks(device: torch.device, ranks: Ranks | None) -> tuple[int, int]:
    """The most memory of a process, and on a device; of all ranks."""
    on_device = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    own = torch.tensor([[peak_rss_bytes(), on_device]], dtype=torch.float64, device=device)
    if ranks:
        with ranks.watch():
            own = gather(own, 0, [1] * ranks.world, ranks.team)
    rss, most = own.amax(0).tolist()
    return int(rss), int(most)


def _stream(start: _Start, device: torch.device, chunks: int, progress: Progress) -> tuple[Times, Growth | None]:
    session = start.session
    times, memory = Times(chunks), MemoryLog(device, session.stream.fps)
    for done in range(chunks):
        memory.look(session.frames_done)
        timings = start.step()
        times.add(timings)
        progress(done + 1, chunks, timings["total"])
    memory.look(session.frames_done)
    return times, memory.growth()


def _since(began_s: float, device: torch.device) -> float:
    """Seconds until everything that the device was given is done."""
    wait_for(device)
    return time.perf_counter() - began_s


def _chunks_in(stream: StreamConfig, audio_s: float) -> int:
    return max(1, round(audio_s * stream.fps / (stream.chunk_frames - stream.motion_frames)))


def _stretched(picture_HWC: np.ndarray, rows: int) -> np.ndarray:
    """Linear interpolation to `rows` rows."""
    at = np.linspace(0, len(picture_HWC) - 1, rows)
    low = np.minimum(at.astype(int), len(picture_HWC) - 2)
    part = (at - low)[:, None, None]
    return picture_HWC[low] * (1 - part) + picture_HWC[low + 1] * part
