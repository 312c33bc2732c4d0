"""A compiled engine on a GPU takes more picture sizes than torch's own limit, in a thread that is not the builder's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.engine import Engine
from tests.pipeline.conftest import picture_of, speech

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore")]  # the compiler's own

SHAPES = 10
"""Torch gives up after eight of one piece of code."""
FAST = {"runtime.device": "cuda", "runtime.dtype": "bfloat16", "runtime.fused_qkv": True, "runtime.folded_audio": True}


def films(config: Config, heights: list[int]) -> tuple[list[np.ndarray], list[int]]:
    """A first chunk for each height, and how many processes of the compiler are left after it."""
    stream, left = config.stream, []

    def make(height: int) -> np.ndarray:
        session = engine.open(picture_of(1), height=height, seed=3)
        session.push(speech(2 * stream.chunk_frames * stream.samples_per_frame))
        frames = session.step().frames_FHWC
        session.close()
        left.append(len(psutil.Process().children(recursive=True)))
        return frames

    with Engine(config) as engine, ThreadPoolExecutor(1) as another_thread:
        return list(another_thread.map(make, heights)), left


def test_ten_sizes_are_the_eager_ones_and_no_helper_stays(tiny_wan_config: Config) -> None:
    step = tiny_wan_config.model.size_multiple[0]
    heights = [tiny_wan_config.stream.height + step * n for n in range(SHAPES)]
    config = replace(tiny_wan_config, FAST)
    wanted, _ = films(config, heights)
    made, left = films(replace(config, {"runtime.compile": True}), heights)
    for ours, theirs in zip(made, wanted, strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours.astype(float) - theirs).mean() < 4.0
    assert left == [0] * SHAPES
