"""Rows of prompt and picture for training: from encoders that learn with a small model, or computed once and kept.

Called by train/sft.py and train/dmd.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from flashtalk.models.image_encoder import ImageEncoder
from flashtalk.models.text_encoder import TextEncoder, Tokenizer, load_tokenizer
from train.config import DmdTraining, SftTraining
from train.pool import ClipPool
from train.ranks import Ranks
from train.stages import get_module

ROWS_AT_ONCE = 32


class Rows(Protocol):
    """What the DiT is told beside sound and reference."""

    def of(self, clip_B: Tensor, reference_B: Tensor) -> tuple[Tensor, Tensor]:
        """(text_BLD zero where padded, picture_BLD) of the pool's clips with these reference frames, float32."""

    def negative_rows(self) -> Tensor:
        """Rows of the negative prompt [L, D], padded alike."""


@dataclass(frozen=True)
class LearningEncoders:
    """Text and image encoder that are trained: rows are computed for every batch, with gradients."""

    text: TextEncoder
    image: ImageEncoder
    pool: ClipPool
    negative_1L: Tensor

    def networks(self) -> dict[str, nn.Module]:
        """By component name."""
        return {"text_encoder": self.text, "image_encoder": self.image}

    def of(self, clip_B: Tensor, reference_B: Tensor) -> tuple[Tensor, Tensor]:
        """See Rows."""
        pool = self.pool
        text_BLD = text_rows(self.text, pool.ids_NL[clip_B], pool.mask_NL[clip_B])
        return text_BLD, self.image(pool.pictures_NKCHW[clip_B, reference_B].float()).float()

    def negative_rows(self) -> Tensor:
        """See Rows."""
        return _negative_rows(self.text, self.negative_1L, self.pool.ids_NL.shape[1])


@dataclass(frozen=True)
class FrozenRows:
    """Rows computed before training; the encoders are gone (published ones would fill half a GPU)."""

    text_NLD: Tensor
    image_NKLD: Tensor
    negative_LD: Tensor

    def of(self, clip_B: Tensor, reference_B: Tensor) -> tuple[Tensor, Tensor]:
        """See Rows."""
        return self.text_NLD[clip_B].float(), self.image_NKLD[clip_B, reference_B].float()

    def negative_rows(self) -> Tensor:
        """See Rows."""
        return self.negative_LD


def learning_encoders(config: SftTraining, ranks: Ranks, pool: ClipPool) -> LearningEncoders:
    """From `config.weights`, or newly drawn."""
    text, image = _text_encoder(config, ranks), _image_encoder(config, ranks)
    return LearningEncoders(text, image, pool, _negative_ids(config, ranks))


@torch.no_grad()
def frozen_rows(config: SftTraining | DmdTraining, ranks: Ranks, pools: Sequence[ClipPool]) -> list[FrozenRows]:
    """The rows of all clips of each pool. Each encoder is loaded once, and let go again."""
    text = _text_encoder(config, ranks)
    rows = [[text_rows(text, *pair).bfloat16() for pair in _pairs(pool.ids_NL, pool.mask_NL)] for pool in pools]
    negative = _negative_rows(text, _negative_ids(config, ranks), pools[0].ids_NL.shape[1])
    del text
    image = _image_encoder(config, ranks)
    seen = [_seen(image, pool) for pool in pools]
    return [FrozenRows(torch.cat(some), shown, negative) for some, shown in zip(rows, seen, strict=True)]


def _seen(image: ImageEncoder, pool: ClipPool) -> Tensor:
    pictures = pool.pictures_NKCHW.flatten(0, 1).split(ROWS_AT_ONCE)
    rows = torch.cat([image(some.float()).bfloat16() for some in pictures])
    return rows.unflatten(0, pool.pictures_NKCHW.shape[:2])


def text_rows(encoder: Callable[[Tensor, Tensor], Tensor], ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Rows of each prompt [B, L, D] float32, zero where it is padded: what the DiT pads a single prompt with."""
    return encoder(ids_BL, mask_BL).float() * mask_BL[:, :, None]


def token_ids(tokenizer: Tokenizer, prompts: list[str], length: int) -> tuple[Tensor, Tensor]:
    """Ids and mask [N, length] of prompts, padded at the end."""
    ids_NL = torch.zeros((len(prompts), length), dtype=torch.long)
    mask_NL = torch.zeros((len(prompts), length), dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids = tokenizer(prompt)[:length]
        ids_NL[row, : len(ids)] = torch.tensor(ids)
        mask_NL[row, : len(ids)] = True
    return ids_NL, mask_NL


def _negative_rows(encoder: nn.Module, negative_1L: Tensor, length: int) -> Tensor:
    given = negative_1L.shape[1]
    ids_BL = torch.zeros((1, length), dtype=torch.long, device=negative_1L.device)
    ids_BL[:, :given] = negative_1L
    return text_rows(encoder, ids_BL, (torch.arange(length, device=ids_BL.device) < given)[None])[0]


def _negative_ids(config: SftTraining | DmdTraining, ranks: Ranks) -> Tensor:
    tokenizer = load_tokenizer(config.model.text_encoder, Path(config.weights) if config.weights else None)
    return torch.tensor([tokenizer(config.negative_prompt)], device=ranks.device)


def _text_encoder(config: SftTraining | DmdTraining, ranks: Ranks) -> TextEncoder:
    encoder = get_module(config.model, "text_encoder", ranks.device, weights=config.weights, seed=config.run.seed)
    assert isinstance(encoder, TextEncoder)
    return encoder


def _image_encoder(config: SftTraining | DmdTraining, ranks: Ranks) -> ImageEncoder:
    encoder = get_module(config.model, "image_encoder", ranks.device, weights=config.weights, seed=config.run.seed)
    assert isinstance(encoder, ImageEncoder)
    return encoder


def _pairs(ids_NL: Tensor, mask_NL: Tensor) -> list[tuple[Tensor, Tensor]]:
    return list(zip(ids_NL.split(ROWS_AT_ONCE), mask_NL.split(ROWS_AT_ONCE), strict=True))
