"""The wav2vec2 audio encoder, read at the video's frame rate, under its published tensor names.

Built by the engine, called by pipeline/window for each chunk's stretch of sound.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from flashtalk.config import AudioEncoderConfig
from flashtalk.errors import InputError
from flashtalk.models.name_map import NameMap, Target, identity_map

# How the weight norm of the positional convolution was spelled before parametrisations.
OLD_SPELLING = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
PRETRAINING_ONLY = (
    "masked_spec_embed",
    *("quantizer.codevectors", "quantizer.weight_proj.weight", "quantizer.weight_proj.bias"),
    *(f"{head}.{leaf}" for head in ("project_q", "project_hid", "lm_head") for leaf in ("weight", "bias")),
)
"""Tensors of the published file that serve its training and are not used here."""


class AudioEncoder(nn.Module):
    """Sound -> every hidden layer, one row for each video frame."""

    PREFIX: ClassVar[str] = ""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        model = Wav2Vec2Model(_wav2vec2_config(config))
        self.feature_extractor = model.feature_extractor
        self.feature_projection = model.feature_projection
        self.encoder = model.encoder
        self.eval()

    @property
    def min_samples(self) -> int:
        """The shortest sound that gives one feature (400 samples, 25 ms, with the published sizes)."""
        length = 1
        for kernel, stride in zip(reversed(self.config.conv_kernel), reversed(self.config.conv_stride), strict=True):
            length = (length - 1) * stride + kernel
        return length

    def forward(self, samples_BS: Tensor, num_frames: int) -> Tensor:
        """Mono at 16 kHz -> hidden [B, num_frames, layers, width]; each row of samples is brought to unit variance.

        Raises InputError (audio_too_short) for fewer than `min_samples`.
        """
        if samples_BS.shape[1] < self.min_samples:
            raise InputError(
                f"the sound has {samples_BS.shape[1]} samples; the audio encoder needs at least {self.min_samples}: "
                "give a longer recording or pad it with silence",
                code="audio_too_short",
            )
        dtype = self.feature_projection.projection.weight.dtype
        features_BCL = self.feature_extractor(_unit_variance(samples_BS).to(dtype))
        features_BCL = nn.functional.interpolate(features_BCL, size=num_frames, mode="linear", align_corners=True)
        rows_BLD, _ = self.feature_projection(features_BCL.transpose(1, 2))
        return self._hidden_layers(rows_BLD)

    def _hidden_layers(self, rows_BLD: Tensor) -> Tensor:
        rows_BLD = self.encoder.layer_norm(rows_BLD + self.encoder.pos_conv_embed(rows_BLD))
        hidden = []
        for layer in self.encoder.layers:
            rows_BLD = layer(rows_BLD, attention_mask=None)
            hidden.append(rows_BLD)
        return torch.stack(hidden, dim=2)

    def name_map(self) -> NameMap:
        """Published name, in either spelling and with or without `wav2vec2.` -> parameters of this module."""
        own = identity_map(self)
        spelled = {_old_spelling(name): targets for name, targets in own.items()}
        unused: dict[str, tuple[Target, ...]] = dict.fromkeys(PRETRAINING_ONLY, ())
        known = {**unused, **spelled, **own}
        return {prefix + name: targets for prefix in ("", "wav2vec2.") for name, targets in known.items()}


def _old_spelling(name: str) -> str:
    for new, old in OLD_SPELLING.items():
        name = name.replace(new, old)
    return name


def _unit_variance(samples_BS: Tensor) -> Tensor:
    """Zero mean and unit variance of each row, in float32; the 1e-7 is that of the published feature extractor."""
    samples_BS = samples_BS.float()
    centred_BS = samples_BS - samples_BS.mean(dim=1, keepdim=True)
    return centred_BS / (centred_BS.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()


def _wav2vec2_config(config: AudioEncoderConfig) -> Wav2Vec2Config:
    return Wav2Vec2Config(  # type: ignore[call-arg]  # attn_implementation is the base class's
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.intermediate_size,
        conv_dim=config.conv_dim,
        conv_kernel=config.conv_kernel,
        conv_stride=config.conv_stride,
        num_conv_pos_embeddings=config.num_conv_pos_embeddings,
        num_conv_pos_embedding_groups=config.num_conv_pos_embedding_groups,
        feat_extract_norm="group",
        do_stable_layer_norm=False,
        attn_implementation="sdpa",
        # No dropout, no masking: with these at zero the model holds no masked_spec_embed.
        mask_time_prob=0.0,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
    )
