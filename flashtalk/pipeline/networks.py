"""The networks of one model, together: what the pipeline computes with and the engine builds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from flashtalk.config import ModelConfig
from flashtalk.config_overlap import OverlapConfig
from flashtalk.models.build import Modules, served_codec
from flashtalk.models.dit import DiT
from flashtalk.models.text_encoder import Tokenizer
from flashtalk.types import LatentCodec


class PromptEncoder(Protocol):
    """A TextEncoder, wherever its weights are."""

    def encode(self, text: str, tokenizer: Tokenizer) -> Tensor:
        """One prompt -> rows_LD."""


class PictureEncoder(Protocol):
    """An ImageEncoder, wherever its weights are."""

    def __call__(self, pixels_BCHW: Tensor) -> Tensor:
        """RGB in [-1, 1] -> rows_BLD."""


class SoundEncoder(Protocol):
    """An AudioEncoder, or its twin."""

    def __call__(self, samples_BS: Tensor, num_frames: int) -> Tensor:
        """Mono at 16 kHz -> hidden [B, num_frames, layers, width]."""


@dataclass(frozen=True)
class Networks:
    """Weights on one device. Stateless: any number of sessions may share them."""

    config: ModelConfig
    dit: DiT
    codec: LatentCodec
    text_encoder: PromptEncoder
    image_encoder: PictureEncoder
    audio_encoder: SoundEncoder
    tokenizer: Tokenizer
    device: torch.device
    fingerprint: str
    """Names architecture, weights and precision: a saved session goes on only with the same."""
    overlap: OverlapConfig = field(default_factory=OverlapConfig)
    """What is done beside what."""

    @classmethod
    def join(
        cls,
        config: ModelConfig,
        modules: Modules,
        tokenizer: Tokenizer,
        device: torch.device,
        fingerprint: str,
        overlap: OverlapConfig | None = None,
    ) -> Networks:
        """Networks of modules that were built together."""
        return cls(
            config=config,
            dit=modules["dit"],
            codec=served_codec(modules),
            text_encoder=modules["text_encoder"],
            image_encoder=modules["image_encoder"],
            audio_encoder=modules["audio_encoder"],
            tokenizer=tokenizer,
            device=device,
            fingerprint=fingerprint,
            overlap=overlap or OverlapConfig(),
        )

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """The networks by component name."""
        for name in ("dit", "codec", "text_encoder", "image_encoder", "audio_encoder"):
            module = getattr(self, name)
            if isinstance(module, nn.Module):
                yield name, module
