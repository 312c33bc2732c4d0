"""A pool of random clips at tiny size, for tests of the objectives and trainers."""

from __future__ import annotations

import torch

from flashtalk.config import Config
from train.pool import AUDIO_REACH, ClipPool


def random_pool(config: Config, clips: int = 3, chunks: int = 3, voices: int = 2, seed: int = 0) -> ClipPool:
    """Structure without meaning: latents of unit scale, audio rows, prompts of different lengths."""
    model, stream = config.model, config.stream
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    cells = (stream.height // model.codec.spatial_stride, stream.width // model.codec.spatial_stride)
    frames = 1 + (stream.chunk_frames - 1) // model.codec.temporal_stride
    latents = (clips, chunks, model.dit.latent_channels, frames, *cells)
    length = torch.randint(3, model.dit.text_len, (clips, 1), generator=generator)
    mask = torch.arange(model.dit.text_len)[None] < length
    picture_px = model.image_encoder.image_size
    rows = (clips, chunks, voices, AUDIO_REACH + stream.chunk_frames, model.dit.audio_layers, model.dit.audio_dim)
    return ClipPool(
        latents_NKCTHW=normal(*latents),
        references_NKCTHW=normal(*latents),
        pictures_NKCHW=normal(clips, chunks, 3, picture_px, picture_px).tanh(),
        lab_NK23=normal(clips, chunks, 2, 3).abs() * 10 + 5,
        rows_NKVFLD=normal(*rows),
        ids_NL=torch.where(mask, torch.randint(3, 200, mask.shape, generator=generator), 0),
        mask_NL=mask,
    )
