"""A compiled engine takes more picture sizes than the eight shapes of one piece of code that torch bears by itself.

And it says that it goes on while it compiles, so that nobody takes it for stuck.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch._inductor.async_compile import AsyncCompile

from flashtalk.config_file import replace
from flashtalk.engine.compile_cache import TELL_S
from flashtalk.engine.engine import Engine
from tests.conftest import build_tiny_config
from tests.engine.compiled_start import TINY

SHAPES = 12
COMPILES_S = 1.5
SETTINGS = {
    "runtime.compile": True,
    "runtime.compile_cache": "off",
    "stream.chunk_frames": 13,
    "stream.first_chunk_frames": 13,
    "stream.audio_context_s": 2.0,
    "stream.steps": 2,
}


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Every step of a compilation but the making of kernels; the number in the list is how long that takes."""
    compile_module, takes_s = nn.Module.compile, [0.0]

    def backend(graph: Callable[..., Any], _inputs: object) -> Callable[..., Any]:
        time.sleep(takes_s[0])
        return graph

    def to_itself(module: nn.Module, **options: Any) -> None:
        compile_module(module, backend=backend, **options)

    monkeypatch.setattr(nn.Module, "compile", to_itself)
    torch._dynamo.reset()
    counters.clear()
    yield takes_s
    torch._dynamo.reset()


@pytest.mark.usefixtures("compiler")
def test_more_sizes_than_the_compiler_would_take_by_itself() -> None:
    config = replace(build_tiny_config("tiny", TINY), SETTINGS)
    stream, step = config.stream, config.model.size_multiple[0]

    def make(height: int) -> tuple[int, ...]:
        session = engine.open(np.full((height, stream.width, 3), 128, np.uint8), height=height)
        session.push(np.zeros(stream.chunk_frames * stream.samples_per_frame, np.float32))
        return session.step().frames_FHWC.shape[1:]

    with Engine(config) as engine, ThreadPoolExecutor(1) as another_thread:
        heights = [stream.height + step * n for n in range(SHAPES)]
        made = list(another_thread.map(make, heights))
    assert counters["stats"]["unique_graphs"] == SHAPES
    assert made == [(height, stream.width, 3) for height in heights]


def test_a_long_prompt_is_compiled_for_without_silence_and_leaves_no_helper(compiler: list[float]) -> None:
    """Nobody but the engine knows how many rows of text a prompt has."""
    config = replace(
        build_tiny_config("tiny", TINY),
        SETTINGS | {"model.text_encoder.max_tokens": 200, "model.dit.text_len": 200},
    )
    with Engine(config) as engine:
        told_s = list[float]()
        engine.on_progress(lambda: told_s.append(time.monotonic()))
        session = engine.open(np.full((64, 64, 3), 128, np.uint8), prompt="words " * 30)
        session.push(np.zeros(2 * 13 * config.stream.samples_per_frame, np.float32))
        compiler[0] = COMPILES_S
        helpers = set(psutil.Process().children(recursive=True))
        AsyncCompile.process_pool()  # as a compilation for a GPU begins
        session.step()
    assert set(psutil.Process().children(recursive=True)) <= helpers
    assert told_s[-1] - told_s[0] > COMPILES_S
    assert np.diff(told_s).max() < COMPILES_S / 2, f"it tells every {TELL_S} s"


@pytest.mark.parametrize("motion", [1, 5])
def test_an_engine_that_hears_far_ahead_is_warmed_up(motion: int) -> None:
    settings = SETTINGS | {"runtime.compile": False, "stream.motion_frames": motion, "stream.lookahead_frames": 20}
    with Engine(replace(build_tiny_config("tiny", TINY), settings)) as engine:
        engine.warm_up()
