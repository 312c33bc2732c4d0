"""Times what is done beside the main stream, on one GPU or several: `python -m tests.gpu.bench_streams --config NAME`.

On N GPUs: `python -m torch.distributed.run --standalone --nproc-per-node=N -m tests.gpu.bench_streams --config NAME`.
Prints, for a file's sound, a chunk's time and when its first frames are on the host, and how long the host needs to
give the device a step's work: CUDA graphs could save time only where that comes near the device's own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from flashtalk.cli_ranks import own_place
from flashtalk.commands.settings import read_config
from flashtalk.config import StreamConfig
from flashtalk.config_overlap import OverlapConfig
from flashtalk.engine.bench import SpeechLoop, draw_portrait
from flashtalk.engine.engine import Engine
from flashtalk.engine.ranks import join_ranks
from flashtalk.pipeline.session import Session

WAYS = {
    "in turn": OverlapConfig(audio_ahead=False, copy_beside=False),
    "+ copy beside": OverlapConfig(audio_ahead=False),
    "+ sound ahead": OverlapConfig(),
    "+ early frames": OverlapConfig(early_frames=True),
}
COLUMNS = ("chunk", "first frames", "step", "host, a step", "audio")
WARM_UP = 2


@dataclass
class Times:
    """Milliseconds, one of each a chunk."""

    chunk: list[float]
    first: list[float]
    step: list[float]
    queued: list[float]
    audio: list[float]

    def row(self, name: str) -> str:
        return f"{name:16}" + "".join(f"{statistics.median(ms):14.1f}" for ms in vars(self).values())


class Queueing:
    """How long the host is in the chunk's first step: later ones may have to wait for room in the device's queue."""

    def __init__(self, dit: nn.Module) -> None:
        self.ms: float | None = None
        self._began_s = 0.0
        dit.register_forward_pre_hook(self._begin)
        dit.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        self._began_s = time.perf_counter()

    def _end(self, *_: object) -> None:
        if self.ms is None:
            self.ms = 1e3 * (time.perf_counter() - self._began_s)


def measure(engine: Engine, way: OverlapConfig, chunks: int, queueing: Queueing) -> Times:
    stream = engine.config.stream
    engine._networks = replace(engine._networks, overlap=way)
    session = engine.open(draw_portrait(stream.height, stream.width), prompt="a person talks")
    session.push(SpeechLoop(stream.sample_rate).take(samples_of(stream, WARM_UP + chunks + 1)))
    times = Times(*([] for _ in COLUMNS))
    for done in range(WARM_UP + chunks):
        add_chunk(times, session, queueing)
        if done < WARM_UP:
            times = Times(*([] for _ in COLUMNS))
    session.close()
    return times


def add_chunk(times: Times, session: Session, queueing: Queueing) -> None:
    arrived: list[float] = []

    def note(_frames_FHWC: np.ndarray) -> None:
        arrived.append(time.perf_counter())

    queueing.ms, began_s = None, time.perf_counter()
    chunk = session.step(note)
    times.chunk.append(1e3 * (time.perf_counter() - began_s))
    times.first.append(1e3 * (arrived[0] - began_s))
    times.step.append(1e3 * chunk.timings_s["denoise"] / session.stream.steps)
    times.queued.append(queueing.ms or 0.0)
    times.audio.append(1e3 * chunk.timings_s["audio"])


def samples_of(stream: StreamConfig, chunks: int) -> int:
    return chunks * (stream.chunk_frames - stream.motion_frames) * stream.samples_per_frame


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="cpu")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--chunks", type=int, default=10)
    given = parser.parse_args()
    place = own_place()
    config = read_config(given.config, [*given.settings, *([f"parallel.ranks={place.world}"] if place else [])])
    leads = not (place and place.rank)
    with join_ranks(config, place) if place else nullcontext() as ranks:
        began_s = time.perf_counter()
        with Engine(config, ranks) as engine:
            queueing = Queueing(engine._networks.dit)
            if leads:
                started_s = time.perf_counter() - began_s
                print(f"{given.config}, torch {torch.__version__}, started in {started_s:.1f} s; medians in ms:")
                print(" " * 16 + "".join(f"{name:>14}" for name in COLUMNS))
            for name, way in WAYS.items():
                times = measure(engine, way, given.chunks, queueing)
                if leads:
                    print(times.row(name), flush=True)


if __name__ == "__main__":
    main()
