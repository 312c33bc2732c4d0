"""Laws of the audio encoder as a graph that hold without a GPU: which sizes are recorded, and where it may be done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.engine.graphs import MOST_SIZES, Compute, GraphedSound
from flashtalk.errors import ConfigError
from flashtalk.models.audio_encoder import AudioEncoder


def test_each_size_is_captured_once_and_a_few_are(tiny_config: Config) -> None:
    """A recording replays its size alone, as a graph would; what has none is computed as before."""
    encoder = build_networks(tiny_config).audio_encoder
    assert isinstance(encoder, AudioEncoder)
    captured: list[int] = []

    def capture(compute: Compute, given: Tensor) -> Compute:
        captured.append(given.shape[1])

        def replay(other: Tensor) -> Tensor:
            assert other.shape == given.shape
            return compute(other)

        return replay

    graphed, sizes = GraphedSound(encoder, capture), [(16000, 25), (16000, 20), (8000, 25), (8000, 10), (4000, 5)]
    with torch.inference_mode():
        for number, (samples, frames) in enumerate(2 * sizes):
            sound = torch.randn(1, samples, generator=torch.Generator().manual_seed(number))
            assert torch.equal(graphed(sound, frames), encoder(sound, frames))
    assert captured == [samples for samples, _ in sizes[:MOST_SIZES]]


def test_there_are_none_on_a_cpu(tiny_config: Config) -> None:
    with pytest.raises(ConfigError, match="CUDA device"):
        build_networks(replace(tiny_config, {"runtime.cuda_graphs": True}))
