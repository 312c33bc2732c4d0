"""Config -> networks without memory: names and shapes, filled by checkpoint.py. Used by engine/ and convert.py."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import torch
from torch import nn

from flashtalk.config import ModelConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.dit import DiT
from flashtalk.models.image_encoder import ImageEncoder
from flashtalk.models.light_codec import LightCodec, PreviewCodec
from flashtalk.models.text_encoder import TextEncoder
from flashtalk.models.vae import WanVAE
from flashtalk.types import LatentCodec


class Modules(TypedDict):
    """The networks of a model by component name."""

    dit: DiT
    codec: WanVAE | LightCodec
    text_encoder: TextEncoder
    image_encoder: ImageEncoder
    audio_encoder: AudioEncoder
    preview_codec: NotRequired[LightCodec]


def build_models_on_meta(config: ModelConfig, *, preview: bool = False) -> Modules:
    """Every network of a model without memory: names and shapes only."""
    with torch.device("meta"):
        modules = Modules(
            dit=DiT(config.dit),
            codec=build_codec(config),
            text_encoder=TextEncoder(config.text_encoder),
            image_encoder=ImageEncoder(config.image_encoder),
            audio_encoder=AudioEncoder(config.audio_encoder),
        )
        if preview and config.preview_codec:
            modules["preview_codec"] = LightCodec(config.preview_codec)
    return modules


def named_modules(modules: Modules) -> list[tuple[str, nn.Module]]:
    """The same as pairs."""
    return [(name, module) for name, module in modules.items() if isinstance(module, nn.Module)]


def build_codec(config: ModelConfig) -> WanVAE | LightCodec:
    """The codec that the config names."""
    codec = config.codec
    return LightCodec(codec) if isinstance(codec, LightCodecConfig) else WanVAE(codec)


def served_codec(modules: Modules) -> LatentCodec:
    """The codec that sessions use: the exact one, or with the light decoder if there is one."""
    exact, light = modules["codec"], modules.get("preview_codec")
    return PreviewCodec(exact, light) if light and isinstance(exact, WanVAE) else exact
