"""A compiled engine takes more picture sizes than the eight shapes of one piece of code that torch bears by itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from flashtalk.config_file import replace
from flashtalk.engine.engine import Engine
from tests.conftest import build_tiny_config
from tests.engine.compiled_start import TINY

SHAPES = 12
SETTINGS = {
    "runtime.compile": True,
    "runtime.compile_cache": "off",
    "stream.chunk_frames": 13,
    "stream.first_chunk_frames": 13,
    "stream.audio_context_s": 2.0,
    "stream.steps": 2,
}


@pytest.fixture
def _compiled_to_itself(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every step of a compilation but the making of kernels."""
    compile_module = nn.Module.compile

    def to_eager(module: nn.Module, **options: Any) -> None:
        compile_module(module, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", to_eager)
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_compiled_to_itself")
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
