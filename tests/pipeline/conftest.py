"""Tiny networks through the real builder, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.session import Session

OpenSession = Callable[..., Session]


@pytest.fixture(scope="session")
def networks(tiny_config: Config) -> Networks:
    return build_networks(tiny_config)


@pytest.fixture(scope="session")
def open_session(tiny_config: Config, networks: Networks) -> OpenSession:
    """open_session(prompt="", portrait=0, **changes of the stream)."""

    def open_one(prompt: str = "", portrait: int = 0, **changes: object) -> Session:
        # Two seconds of context instead of eight: the laws are the same and the tests four times as fast.
        settings = {"audio_context_s": 2.0, "steps": 2, **changes}
        stream = replace(tiny_config, {f"stream.{name}": value for name, value in settings.items()}).stream
        with torch.inference_mode():
            picture = make_portrait(networks, picture_of(portrait), stream.chunk_frames)
            return Session(networks, stream, make_conditioning(networks, picture, prompt))

    return open_one


def picture_of(seed: int) -> np.ndarray:
    """A smooth random picture."""
    rough = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(rough, size=(64, 64), mode="bicubic")[0]
    return (smooth * 60 + 128).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def speech(samples: int, seed: int = 0) -> np.ndarray:
    """Noise in syllables: loud and quiet by turns."""
    rng = np.random.default_rng(seed)
    envelope = 0.1 + 0.1 * np.sin(np.arange(samples) * (2 * np.pi * 4 / 16000))
    return (rng.standard_normal(samples) * envelope).astype(np.float32)
