"""The benchmark: all figures are there, follow from each other, survive JSON, and need no media libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import from_tree, replace
from flashtalk.engine import bench as bench_module
from flashtalk.engine import memory as memory_module
from flashtalk.engine.bench import BenchResult, SpeechLoop, Times, draw_portrait, run_bench
from flashtalk.engine.engine import Engine
from flashtalk.engine.memory import MemoryLog
from flashtalk.engine.plan import plan
from flashtalk.errors import ConfigError
from flashtalk.parallel.groups import Ranks
from tests.source import ROOT

CHUNKS = 3


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, int]]:
    """What was told while it ran."""
    return []


@pytest.fixture(scope="module")
def result(tiny_config: Config, seen: list[tuple[int, int]]) -> BenchResult:
    return run_bench(
        tiny_config, chunks=CHUNKS, warmup=1, progress=lambda done, total, _seconds: seen.append((done, total))
    )


def test_figures_follow_from_each_other(result: BenchResult) -> None:
    total = result.stages["total"]
    assert result.chunk_frames == 28
    assert result.fps == pytest.approx(28 / total.p50_s)
    assert result.real_time_factor == pytest.approx(25 / result.fps)
    assert 0 < total.p50_s <= total.p95_s <= result.slowest_chunk_s
    parts = sum(stage.p50_s for name, stage in result.stages.items() if name != "total")
    assert 0.5 * total.p50_s < parts < 1.5 * total.p50_s
    assert min(result.first_frame_s, result.session_open_s, result.engine_build_s) > 0
    assert min(result.first_frame_cold_s, result.session_open_cold_s) > 0
    assert 50e6 < result.peak_rss_bytes < 100e9


def test_what_ran_is_told(result: BenchResult, tiny_config: Config) -> None:
    assert result.trained is False
    assert (result.chunks, result.warmup) == (CHUNKS, 1)
    assert result.engine["model"] == "tiny"
    assert result.engine["device"] == "cpu"
    assert result.machine["cpu"]
    assert result.machine["threads"] == torch.get_num_threads()
    assert result.versions["torch"] == torch.__version__
    assert from_tree(Config, result.config) == tiny_config
    assert result.peak_device_bytes is None
    assert result.growth is None, "three chunks are too few to tell"


def test_progress_is_told(result: BenchResult, seen: list[tuple[int, int]]) -> None:
    assert seen == [(done + 1, result.chunks) for done in range(CHUNKS)]


def test_json_round_trip(result: BenchResult) -> None:
    tree = result.to_tree()
    again = json.loads(json.dumps(tree))
    assert again == {**tree, "config": json.loads(json.dumps(tree["config"]))}
    assert again["fps"] == result.fps
    assert set(again["stages"]["total"]) == {"p50_s", "p95_s"}


def test_stages_are_those_of_a_plan(result: BenchResult, tiny_config: Config) -> None:
    assert {stage.name for stage in plan(tiny_config).stages} | {"total"} == set(result.stages)


def test_the_engine_is_loaded_before_it_counts(tiny_config: Config) -> None:
    result = run_bench(replace(tiny_config, {"stream.steps": 2}), chunks=2, warmup=1, load_s=0.6)
    assert result.chunks == len(result.chunk_s) == 2
    assert 0.6 <= result.load_s < 6.0
    assert result.stages["total"].p50_s == pytest.approx(np.median(result.chunk_s))
    assert result.slowest_chunk_s == max(result.chunk_s)


class Heard:
    """A session that notes how much sound it has before each chunk."""

    def __init__(self, stream: StreamConfig) -> None:
        self.stream, self.samples_needed, self.pushed = stream, stream.first_chunk_frames, 0
        self.sound: list[int] = []

    def push(self, samples: np.ndarray) -> None:
        self.pushed += len(samples)

    def step(self) -> None:
        self.sound.append(self.pushed - self.samples_needed)
        self.samples_needed += (self.stream.chunk_frames - self.stream.motion_frames) * self.stream.samples_per_frame


def test_sound_comes_chunk_by_chunk_or_a_chunk_ahead(tiny_config: Config) -> None:
    for ahead, spare in ((False, 0), (True, 28 * 640)):
        session = Heard(tiny_config.stream)
        feed = bench_module._Feed(SpeechLoop(16000), ahead)
        for _ in range(3):
            feed.give(session)  # type: ignore[arg-type]
            session.step()
        assert session.sound == [spare] * 3
    result = run_bench(replace(tiny_config, {"stream.steps": 2}), chunks=1, warmup=1, sound_ahead=True)
    assert result.sound_ahead


class Slow(Heard):
    """Its engine too: the second half of the frames is a twentieth of a second later."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.stream)
        self.config = config

    def open(self, _picture_HWC: np.ndarray, prompt: str) -> Slow:
        assert prompt
        return self

    def step(self, on_frames: Callable[[object], None] = lambda _frames: None) -> Any:
        on_frames(None)
        time.sleep(0.05)
        on_frames(None)
        return type("Chunk", (), {"timings_s": {"total": 0.05}})


def test_the_first_frame_is_the_first_that_leaves(tiny_config: Config) -> None:
    feed = bench_module._Feed(SpeechLoop(16000), False)
    start = bench_module._open_and_step(Slow(tiny_config), feed, torch.device("cpu"))  # type: ignore[arg-type]
    assert start.first_frame_s < 0.04
    assert start.chunk_s == 0.05


class Chatty:
    """A group whose first rank says so many chunks, and whose other rank holds so much memory."""

    world, device, team = 2, torch.device("cpu"), None
    watch = nullcontext

    def from_first(self, _make: object) -> torch.Tensor:
        return torch.tensor([7.0])


def test_ranks_compute_as_many_chunks_as_the_first_says() -> None:
    assert [bench_module._said_by_first(more, None) for more in (False, True)] == [False, True]
    assert bench_module._said_by_first(False, Chatty())  # type: ignore[arg-type]


class Quickening:
    """A stream whose chunk in warming up takes far longer than all that follow."""

    chunk_s = 0.05

    def step(self) -> dict[str, float]:
        time.sleep(0.01)
        return {"total": 1.0}


def test_a_slow_chunk_in_warming_up_does_not_shorten_the_load() -> None:
    assert 0.2 <= bench_module._load(Quickening(), 2, 0.2, None) < 5.0  # type: ignore[arg-type]


def test_memory_is_that_of_the_fullest_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(own: torch.Tensor, *_others: object) -> torch.Tensor:
        return torch.cat((own, torch.tensor([[1e12, 5.0]], dtype=torch.float64)))

    monkeypatch.setattr(bench_module, "gather", both)
    assert bench_module._peaks(torch.device("cpu"), Chatty()) == (10**12, 5)  # type: ignore[arg-type]
    assert 50e6 < bench_module._peaks(torch.device("cpu"), None)[0] < 100e9


def test_minutes_are_minutes_of_sound(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """And memory is followed over them."""
    monkeypatch.setattr(memory_module, "SETTLE_S", 2.0)
    monkeypatch.setattr(memory_module, "SAMPLE_EVERY_S", 1.0)
    engines = []

    def connect(config: Config, ranks: Ranks | None) -> Engine:
        engines.append(Engine(config, ranks))
        return engines[0]

    config = replace(tiny_config, {"stream.steps": 2})
    result = run_bench(config, minutes=5 * 28 / 25 / 60, warmup=1, connect=connect)
    assert result.chunks == 5
    assert len(engines) == 1
    assert result.growth is not None
    assert result.growth.audio_s == pytest.approx(4 * 28 / 25)
    assert result.growth.device_slope_bytes_h is None
    assert 0 <= result.growth.rss_spread_bytes < 100e6


def test_another_length_of_chunk(tiny_config: Config) -> None:
    config = replace(tiny_config, {"stream.chunk_frames": 17, "stream.first_chunk_frames": 13, "stream.steps": 2})
    result = run_bench(config, chunks=1, warmup=1)
    assert result.chunk_frames == 12
    assert result.fps == pytest.approx(12 / result.stages["total"].p50_s)


@pytest.mark.parametrize("counts", [{"chunks": 0}, {"warmup": 0}, {"chunks": -3}])
def test_counts_that_measure_nothing_are_refused(tiny_config: Config, counts: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="needs 1 chunk and 1 for warming up"):
        run_bench(tiny_config, **counts)  # type: ignore[arg-type]


WITHOUT_MEDIA = """
import sys
sys.modules.update(dict.fromkeys(("av", "cv2", "soundfile"), None))
from flashtalk.engine.bench import run_bench
from tests.conftest import build_tiny_config
from flashtalk.config_codec import LightCodecConfig
light = LightCodecConfig(latent_channels=8, encoder_width=4, decoder_widths=(4, 4, 4, 4))
print(run_bench(build_tiny_config("tiny", light), chunks=1, warmup=1).fps)
"""


def test_needs_no_media_libraries() -> None:
    """A GPU server may have neither FFmpeg's libraries nor OpenCV."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEDIA],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) > 0


# What is fed, and how it is followed.


def test_the_portrait_is_smooth_and_not_flat() -> None:
    picture_HWC = draw_portrait(96, 160)
    assert picture_HWC.shape == (96, 160, 3)
    assert picture_HWC.dtype == np.uint8
    assert np.array_equal(picture_HWC, draw_portrait(96, 160))
    assert not np.array_equal(picture_HWC, draw_portrait(96, 160, seed=1))
    assert picture_HWC.std(axis=(0, 1)).min() > 10
    assert np.abs(np.diff(picture_HWC.astype(int), axis=0)).max() < 20
    assert np.abs(np.diff(picture_HWC.astype(int), axis=1)).max() < 20


def test_speech_goes_on_without_end_and_without_a_seam() -> None:
    first, second = SpeechLoop(16000), SpeechLoop(16000)
    whole = first.take(21 * 16000)
    pieces = np.concatenate([second.take(size) for size in (1, 17919, 16000, 21 * 16000 - 33920)])
    assert np.array_equal(whole, pieces)
    assert np.array_equal(whole[:1000], whole[20 * 16000 : 20 * 16000 + 1000])
    assert whole.dtype == np.float32
    assert 0.1 < np.abs(whole).max() <= 0.3
    syllables = np.sqrt(np.square(whole[: 20 * 16000]).reshape(-1, 800).mean(1))
    assert syllables.min() < 0.01 * syllables.max(), "it pauses"


def test_percentiles_are_over_chunks() -> None:
    times = Times(5)
    for seconds in (1.0, 2.0, 3.0, 4.0, 10.0):
        times.add({"total": seconds, "decode": seconds / 2})
    assert times.summary()["total"].p50_s == 3.0
    assert times.summary()["decode"].p95_s == pytest.approx(np.percentile([0.5, 1, 1.5, 2, 5], 95))
    assert times.each("total") == [1.0, 2.0, 3.0, 4.0, 10.0]


class Process:
    """Grows by a megabyte a second of sound after a start that counts for nothing."""

    def __init__(self) -> None:
        self.audio_s = 0.0

    def memory_info(self) -> Any:
        return type("Info", (), {"rss": int(1e9 * (self.audio_s < 60) + 1e6 * self.audio_s)})


def test_growth_is_judged_after_the_first_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module.gc, "collect", lambda: 0)
    log, process = MemoryLog(torch.device("cpu"), 25), Process()
    log._process = process  # type: ignore[assignment]
    for frames in range(0, 25 * 121, 28):
        process.audio_s = frames / 25
        log.look(frames)
    growth = log.growth()
    assert growth is not None
    assert growth.rss_slope_bytes_h == pytest.approx(3600e6)
    assert growth.rss_spread_bytes == pytest.approx(1e6 * growth.audio_s)
    assert len(log._rows) == 13, "one sample in ten seconds of sound"
    assert growth.device_slope_bytes_h is None


def test_what_is_waited_for_is_the_engines_device(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    for name in ("cpu", "cuda:1"):
        bench_module._since(0.0, torch.device(name))
    assert waited == [torch.device("cuda:1")]
