"""The law of the split codec: rows of any number on any number of ranks give what one gives, without work twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from flashtalk.config_codec import LightCodecConfig, WanVAEConfig
from flashtalk.engine import fast_light
from flashtalk.engine.fast_light import make_light_fast
from flashtalk.models.light_codec import LightCodec, PreviewCodec
from flashtalk.models.vae import WanVAE
from flashtalk.parallel.groups import Ranks
from flashtalk.parallel.vae import RowCodec
from flashtalk.types import LatentCodec
from tests.parallel.pool import Pool

LIGHT = LightCodecConfig(
    latent_channels=8, encoder_width=8, decoder_widths=(8, 8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
)
WAN = WanVAEConfig(base_dim=8)
CODECS: dict[str, Callable[[], nn.Module]] = {
    "wan": lambda: WanVAE(WAN),
    "light": lambda: LightCodec(LIGHT),
    "light in patches": lambda: LightCodec(replace(LIGHT, pixel_patch=2)),
    "light joined": lambda: joined(LightCodec(replace(LIGHT, pixel_patch=2))),
    "preview": lambda: PreviewCodec(
        WanVAE(WAN), LightCodec(LightCodecConfig(**{**vars(LIGHT), "latent_channels": 16}))
    ),
}
CELLS = [(7, 3), (9, 1), (2, 2)]
"""Rows and columns of latent cells: shares differ, and the last has fewer rows than some groups have ranks."""
WORLDS = [
    ("wan", 2),
    ("wan", 3),
    ("wan", 4),
    ("light", 3),
    ("light in patches", 2),
    ("light joined", 3),
    ("preview", 4),
]


def joined(codec: LightCodec) -> LightCodec:
    make_light_fast(codec)
    return codec


def codec_of(name: str, ranks: Ranks | None = None) -> LatentCodec:
    torch.manual_seed(1)
    codec = CODECS[name]().double().eval().requires_grad_(False)
    return RowCodec(codec, ranks.team) if ranks else codec


def there_and_back(codec: LatentCodec) -> list[Tensor]:
    """Latents of a video and pixels from others at once, for each size; pixels streamed for the last."""
    made = []
    draw = torch.Generator().manual_seed(2)
    for rows, columns in CELLS:
        stride = codec.spatial_stride
        pixels = torch.rand(1, 3, 5, rows * stride, columns * stride, generator=draw, dtype=torch.float64) * 2 - 1
        latents = torch.randn(2, codec.latent_channels, 2, rows, columns, generator=draw, dtype=torch.float64)
        made += [codec.encode(pixels), codec.decode(latents)]
    return [*made, torch.cat(list(codec.decode_stream(latents[:1])), dim=2)]


def split_there_and_back(ranks: Ranks, name: str) -> list[Tensor]:
    return there_and_back(codec_of(name, ranks))


@pytest.mark.parametrize(("name", "world"), WORLDS)
def test_split_rows_give_the_whole_picture(pool: Pool, name: str, world: int) -> None:
    with torch.inference_mode():
        alone = there_and_back(codec_of(name))
    for parts in pool.run(world, split_there_and_back, name):
        for part, whole in zip(parts, alone, strict=True):
            torch.testing.assert_close(part, whole, rtol=0, atol=2e-6)


def small_caches_there_and_back(ranks: Ranks) -> list[Tensor]:
    with patch.object(fast_light, "CACHED_BYTES", 1900):
        return split_there_and_back(ranks, "light joined")


def test_shares_that_would_fit_caches_unlike_are_exchanged_alike(pool: Pool) -> None:
    with torch.inference_mode():
        alone = there_and_back(codec_of("light joined"))
    for parts in pool.run(3, small_caches_there_and_back):
        for part, whole in zip(parts, alone, strict=True):
            torch.testing.assert_close(part, whole, rtol=0, atol=2e-6)


def work(codec: LatentCodec) -> int:
    """Multiplications of one decode and one encode."""
    with FlopCounterMode(display=False) as counter:
        codec.encode(codec.decode(torch.randn(1, codec.latent_channels, 2, 8, 4, dtype=torch.float64)))
    return counter.get_total_flops()


def split_work(ranks: Ranks, name: str) -> int:
    return work(codec_of(name, ranks))


@pytest.mark.parametrize("name", ["wan", "light"])
def test_no_work_is_done_twice(pool: Pool, name: str) -> None:
    """Products of all ranks together are those of one: halos are received, not computed."""
    assert sum(pool.run(4, split_work, name)) == work(codec_of(name))
