"""The teacher's sampler inside a session: its guidance and its Euler steps against plain ones."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flashtalk.config import Config
from flashtalk.pipeline.denoise import build_sampler, denoise, keep_motion
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.schedule import T_MAX
from train.evaluate.film import Speaker
from train.evaluate.guidance import Guidance, GuidedDiT
from train.evaluate.networks import guided_by
from train.velocity import Conditions, predict_guided

STEPS, SHIFT = 6, 5.0


@pytest.fixture
def given(networks: Networks) -> tuple[Conditions, torch.Tensor]:
    """Conditions of one chunk of 9 x 4 x 4 latents, and its motion latents."""
    dit, draw = networks.dit.config, torch.Generator().manual_seed(3)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    windows = normal(1, 33, dit.audio_window, dit.audio_layers * dit.audio_dim)
    text = F.pad(normal(1, 5, dit.text_dim), (0, 0, 0, dit.text_len - 5))
    reference = normal(1, dit.latent_channels + dit.temporal_stride, 9, 8, 8)
    return Conditions(reference, text, normal(1, 5, dit.image_dim), windows), normal(1, dit.latent_channels, 2, 8, 8)


@torch.inference_mode()
def test_session_steps_are_eulers_on_the_guided_velocity(
    networks: Networks, given: tuple[Conditions, torch.Tensor]
) -> None:
    conditions, motion = given
    guidance = Guidance(text=2.5, audio=3.5)
    null_LD = networks.text_encoder.encode("", networks.tokenizer)
    guided = GuidedDiT(networks.dit, null_LD, guidance, seed=7)
    shape = (motion.shape[1], 9, 8, 8)
    sampler = build_sampler(guided.as_dit(), STEPS, SHIFT)
    result = denoise(
        guided.as_dit(),
        sampler,
        lambda draw: guided.noise(0, draw, shape)[None],
        motion,
        conditions.reference_BCTHW,
        guided.positions(guided.grid(9, 8, 8), motion.device),
        guided.embed_context(conditions.text_BLD, conditions.picture_BLD),
        guided.embed_audio(conditions.windows_BFKD),
    )
    negative = F.pad(null_LD, (0, 0, 0, conditions.text_BLD.shape[1] - len(null_LD)))
    x = guided.noise(0, 0, shape)[None]
    for sigma, after in zip(sampler.sigmas, sampler.sigmas[1:], strict=False):
        x = keep_motion(x, motion)
        level = torch.tensor([sigma])
        x = x - (sigma - after) * predict_guided(
            networks.dit, x, level, conditions, negative, guidance.text, guidance.audio
        )
    torch.testing.assert_close(result, keep_motion(x, motion), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_strength_one_is_the_plain_network(networks: Networks, given: tuple[Conditions, torch.Tensor]) -> None:
    conditions, motion = given
    guided = GuidedDiT(networks.dit, torch.zeros(1, networks.dit.config.text_dim), Guidance(text=1, audio=1))
    latents = torch.randn(1, motion.shape[1], 9, 8, 8, generator=torch.Generator().manual_seed(0))
    said = []
    for dit in (guided.as_dit(), networks.dit):
        said.append(
            dit(
                latents,
                conditions.reference_BCTHW,
                dit.embed_time(torch.tensor([0.5 * T_MAX])),
                dit.positions(dit.grid(9, 8, 8), motion.device),
                dit.embed_context(conditions.text_BLD, conditions.picture_BLD),
                dit.embed_audio(conditions.windows_BFKD),
            )
        )
    torch.testing.assert_close(said[0], said[1], rtol=1e-4, atol=1e-4)


def test_a_session_films_with_the_teacher(tiny_config: Config, networks: Networks) -> None:
    stream = dataclasses.replace(tiny_config.stream, steps=STEPS, audio_context_s=2.0, colour_strength=0.0)
    films = []
    for seed in (0, 0, 1):
        sampled, noise = guided_by(networks, Guidance(), seed)
        speaker = Speaker(networks=sampled, stream=stream, noise=noise)
        sound = np.random.default_rng(0).standard_normal(2 * 16000).astype(np.float32)
        chunks = speaker.chunks(np.full((64, 64, 3), 90, np.uint8), "a person", 0.1 * sound)
        films.append(np.concatenate([chunk.frames_FHWC for chunk in chunks]))
    np.testing.assert_array_equal(films[0], films[1])
    assert (films[0] != films[2]).any()
