"""The preview decoder: the exact encoder, a light decoder, chosen by config only."""

from __future__ import annotations

import pytest
import torch

from flashtalk.config import Config
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import replace, to_tree
from flashtalk.engine.build import build_networks
from flashtalk.errors import ConfigError
from flashtalk.models.light_codec import PreviewCodec

LIGHT = LightCodecConfig(
    encoder_width=8, decoder_widths=(8, 8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1, 1, 1)
)


def test_preview_decodes_light_and_encodes_exactly(tiny_wan_config: Config) -> None:
    config = replace(tiny_wan_config, {"model.preview_codec": to_tree(LIGHT)})
    exact = build_networks(config)
    preview = build_networks(replace(config, {"runtime.decoder": "preview"}))
    assert isinstance(preview.codec, PreviewCodec)
    assert preview.fingerprint != exact.fingerprint
    with torch.inference_mode():
        pixels, latents = torch.rand(1, 3, 5, 32, 32), torch.randn(1, 16, 3, 4, 4)
        assert torch.equal(preview.codec.encode(pixels), exact.codec.encode(pixels))
        frames = preview.codec.decode(latents)
        assert frames.shape == exact.codec.decode(latents).shape
        torch.testing.assert_close(torch.cat(list(preview.codec.decode_stream(latents)), dim=2), frames)


def test_preview_without_a_preview_codec_is_refused(tiny_config: Config) -> None:
    with pytest.raises(ConfigError, match="no preview_codec"):
        replace(tiny_config, {"runtime.decoder": "preview"})


def test_a_preview_codec_of_other_latents_is_refused(tiny_config: Config) -> None:
    with pytest.raises(ConfigError, match="channels and strides"):
        replace(tiny_config, {"model.preview_codec": to_tree(LIGHT)})
