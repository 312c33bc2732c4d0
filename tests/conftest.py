"""What every test gets: fixed seeds, one CPU thread, an environment without surprises, and two tiny configurations.

The tiny models go through the same classes, loader and engine as the real ones; only their sizes differ.
"""

from __future__ import annotations

import os
import random

import hypothesis
import numpy as np
import pytest
import torch

from flashtalk.config import (
    AudioEncoderConfig,
    Config,
    DiTConfig,
    ImageEncoderConfig,
    LightCodecConfig,
    ModelConfig,
    RuntimeConfig,
    StreamConfig,
    TextEncoderConfig,
    WanVAEConfig,
)
from tests import beside

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
FROM_LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
THREADS = 1
"""Tiny networks gain nothing from a second; on a busy machine its waiting costs fifteen times the work."""

hypothesis.settings.register_profile("repository", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repository")


def pytest_addoption(parser: pytest.Parser) -> None:
    beside.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    beside.set_up(config)
    # Before any test module is imported: the hub client reads these once, when it is first imported.
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    torch.set_num_threads(THREADS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and this machine shows none")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _same_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seeds and environment for each test, whatever ran before or stands in the shell."""
    for name in OFFLINE:
        monkeypatch.setenv(name, "1")
    for name in (*FROM_LAUNCHERS, *(name for name in os.environ if name.startswith("FLASHTALK_"))):
        monkeypatch.delenv(name, raising=False)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """64x64 pictures through a light codec: 9 x 4 x 4 tokens a chunk."""
    codec = LightCodecConfig(
        latent_channels=8,
        encoder_width=8,
        decoder_widths=(8, 8, 8, 8),
        encoder_blocks=(1, 1, 1),
        decoder_blocks=(1, 1, 1),
    )
    return build_tiny_config("tiny", codec)


@pytest.fixture(scope="session")
def tiny_wan_config() -> Config:
    """The same with the Wan VAE at a twelfth of its width."""
    return build_tiny_config("tiny-wan", WanVAEConfig(base_dim=8))


def build_tiny_config(name: str, codec: LightCodecConfig | WanVAEConfig) -> Config:
    model = ModelConfig(
        name=name,
        dit=DiTConfig(
            latent_channels=codec.latent_channels,
            dim=48,
            ffn_dim=96,
            freq_dim=32,
            num_heads=2,
            num_layers=2,
            text_len=16,
            text_dim=24,
            image_dim=32,
            audio_window=5,
            audio_layers=3,
            audio_dim=32,
            audio_hidden_dim=8,
            audio_token_dim=24,
            audio_tokens=4,
        ),
        codec=codec,
        text_encoder=TextEncoderConfig(
            vocab_size=384,
            dim=24,
            attention_dim=24,
            ffn_dim=48,
            num_heads=2,
            num_layers=1,
            max_tokens=16,
            tokenizer="bytes",
        ),
        image_encoder=ImageEncoderConfig(image_size=32, patch_size=16, dim=32, mlp_ratio=2, num_heads=2, num_layers=2),
        audio_encoder=AudioEncoderConfig(
            hidden_size=32,
            num_layers=3,
            num_heads=2,
            intermediate_size=64,
            conv_dim=(16,) * 7,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=4,
        ),
    )
    runtime = RuntimeConfig(device="cpu", dtype="float32")
    return Config(model=model, stream=StreamConfig(width=64, height=64), runtime=runtime)
