"""The CLIP image tower up to its last block but one, under its published tensor names.

Built by the engine, called by pipeline/conditioning once for each portrait.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from flashtalk.config import ImageEncoderConfig
from flashtalk.models.name_map import NameMap, Target

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures in [0, 1], by channel."""


class ImageEncoder(nn.Module):
    """Picture -> rows for the diffusion transformer. The last block and what follows it are not held."""

    PREFIX: ClassVar[str] = "visual."
    """Before each name in the published file, whose other tensors belong to the text tower."""

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__()
        self.config = config
        tower = CLIPVisionModel(_clip_config(config))
        # Parts instead of the tower: its embedding has a computed buffer, which a build on the meta device would lose.
        self.patch_embedding = tower.embeddings.patch_embedding
        self.class_embedding = tower.embeddings.class_embedding
        self.position_embedding = tower.embeddings.position_embedding.weight
        self.pre_norm = tower.pre_layrnorm
        self.blocks = tower.encoder.layers
        self.eval()

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """RGB in [-1, 1] of any size -> rows_BLD, L = 1 + (image_size / patch_size)^2; the first row is the class."""
        size = (self.config.image_size, self.config.image_size)
        resized_BCHW = nn.functional.interpolate(pixels_BCHW.float(), size=size, mode="bicubic", align_corners=False)
        pixels_BCHW = _normalise(resized_BCHW).to(self.patch_embedding.weight.dtype)
        patches_BLD = self.patch_embedding(pixels_BCHW).flatten(2).transpose(1, 2)
        class_BLD = self.class_embedding.expand(len(patches_BLD), 1, -1)
        rows_BLD = self.pre_norm(torch.cat([class_BLD, patches_BLD], dim=1) + self.position_embedding)
        for block in self.blocks:
            rows_BLD = block(rows_BLD, attention_mask=None)
        return rows_BLD

    def name_map(self) -> NameMap:
        """Published name, without PREFIX -> parameters of this module."""
        return published_names(self.config)


def published_names(config: ImageEncoderConfig) -> NameMap:
    """Every tensor of the published image tower, without `visual.`, and where it goes in an ImageEncoder."""
    last = config.num_layers - 1
    return {
        "cls_embedding": (Target("class_embedding", torch.flatten),),
        "pos_embedding": (Target("position_embedding", _first),),
        "patch_embedding.weight": (Target("patch_embedding.weight"),),
        "pre_norm.weight": (Target("pre_norm.weight"),),
        "pre_norm.bias": (Target("pre_norm.bias"),),
        **{name: targets for index in range(last) for name, targets in _block_names(index)},
        **{name: () for name, _ in _block_names(last)},
        "post_norm.weight": (),
        "post_norm.bias": (),
        "head": (),
    }


def _block_names(index: int) -> Iterator[tuple[str, tuple[Target, ...]]]:
    pairs = (
        ("norm1", "layer_norm1"),
        ("attn.proj", "self_attn.out_proj"),
        ("norm2", "layer_norm2"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.2", "mlp.fc2"),
    )
    for leaf in ("weight", "bias"):
        for published, own in pairs:
            yield f"transformer.{index}.{published}.{leaf}", (Target(f"blocks.{index}.{own}.{leaf}"),)
        thirds = (
            Target(f"blocks.{index}.self_attn.{letter}_proj.{leaf}", partial(_third, part))
            for part, letter in enumerate("qkv")
        )
        yield f"transformer.{index}.attn.to_qkv.{leaf}", tuple(thirds)


def _first(tensor: Tensor) -> Tensor:
    return tensor[0]


def _third(part: int, joined: Tensor) -> Tensor:
    return joined.chunk(3)[part]


def _normalise(pixels_BCHW: Tensor) -> Tensor:
    """[-1, 1] -> CLIP's scale; channel by channel with plain numbers, so that no buffer has to follow the device."""
    channels = zip(pixels_BCHW.unbind(1), PIXEL_MEAN, PIXEL_STD, strict=True)
    return torch.stack([(0.5 * channel + (0.5 - mean)) / std for channel, mean, std in channels], dim=1)


def _clip_config(config: ImageEncoderConfig) -> CLIPVisionConfig:
    return CLIPVisionConfig(  # type: ignore[call-arg]  # attn_implementation is the base class's
        hidden_size=config.dim,
        intermediate_size=config.dim * config.mlp_ratio,
        num_hidden_layers=config.num_layers - 1,
        num_attention_heads=config.num_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_act=config.activation,
        attn_implementation="sdpa",
    )
