"""More blocks in the decoder change no picture, and can learn."""

from __future__ import annotations

import pytest
import torch

from flashtalk.config_codec import LightCodecConfig
from flashtalk.errors import InputError
from flashtalk.models.light_codec import LightCodec
from train.deepen import deepen

CONFIG = LightCodecConfig(
    latent_channels=4,
    pixel_patch=2,
    encoder_width=8,
    decoder_widths=(12, 10, 8, 8),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(2, 1, 1),
    temporal_upsample=(True, True, False),
    temporal_downsample=(True, True, False),
)


@pytest.fixture
def codec() -> LightCodec:
    torch.manual_seed(3)
    return LightCodec(CONFIG)


def test_a_deeper_decoder_gives_the_same_pictures(codec: LightCodec) -> None:
    pixels = torch.rand(1, 3, 9, 32, 48) * 2 - 1
    deeper = deepen(codec, (4, 2, 1))
    assert deeper.config.decoder_blocks == (4, 2, 1)
    assert len(deeper.decoder) == len(codec.decoder) + 3
    latents = codec.encode(pixels)
    assert torch.equal(deeper.encode(pixels), latents)
    assert torch.equal(deeper.decode(latents), codec.decode(latents))


def test_its_new_blocks_learn(codec: LightCodec) -> None:
    deeper = deepen(codec, (3, 1, 1))
    deeper.decode_raw(torch.randn(1, 4, 2, 4, 4)).square().mean().backward()
    grown = deeper.get_parameter("decoder.5.conv.4.weight").grad
    assert grown is not None
    assert grown.abs().max() > 0


def test_fewer_blocks_are_refused(codec: LightCodec) -> None:
    for blocks in ((1, 1, 1), (2, 1, 0)):
        with pytest.raises(InputError, match="at least"):
            deepen(codec, blocks)
