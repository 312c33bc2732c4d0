"""Attention to sound with its two large products folded into the sound. Put in place by engine/fast.py.

Per head: (x Wq + bq) k / sqrt(E) = x (Wq k / sqrt(E)) + bq k / sqrt(E), and (p v) Wo = p (v Wo). There are A = 32 audio
tokens a frame, so with N heads the products with D x D matrices become ones with D x N A, once the sound is folded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from flashtalk.models.blocks import AudioAttention
from flashtalk.types import KeyValue, TokenLayout


@dataclass(frozen=True)
class FoldedSound(KeyValue):
    """Key and value [B, T, N A, D] (columns by head, then audio token), bias_[B, T, 1, N A], from a frame on."""

    bias: Tensor
    first_frame: int


@dataclass(frozen=True)
class Piece:
    """Tokens [start, end) of a share: a part of one latent frame, or some whole ones."""

    start: int
    end: int
    first_frame: int
    end_frame: int


class FoldedAudioAttention(AudioAttention):
    """The same function as the AudioAttention it is made of, whose weights it takes over."""

    def __init__(self, plain: AudioAttention) -> None:
        nn.Module.__init__(self)
        self.num_heads, self.attend = plain.num_heads, plain.attend
        self.q_linear, self.kv_linear, self.proj = plain.q_linear, plain.kv_linear, plain.proj

    def prepare(self, audio_BTAD: Tensor, layout: TokenLayout | None = None) -> FoldedSound:
        """Fold the frames that `layout` touches, or all: 2 x N A x D numbers a frame."""
        first, end = layout.frame_span if layout else (0, audio_BTAD.shape[1])
        plain = super().prepare(audio_BTAD[:, first:end])
        key = plain.key * plain.key.shape[-1] ** -0.5
        heads = (self.num_heads, -1)
        query_NED = self.q_linear.weight.unflatten(0, heads)
        out_NED = self.proj.weight.t().unflatten(0, heads)
        bias = torch.einsum("btane,ne->btna", key, self.q_linear.bias.unflatten(0, heads))
        return FoldedSound(_fold(key, query_NED), _fold(plain.value, out_NED), bias.flatten(2)[:, :, None], first)

    def forward(self, x_BLD: Tensor, audio: KeyValue, layout: TokenLayout) -> Tensor:
        """tokens -> tokens, frame by frame; a share that cuts through frames is computed in up to three pieces."""
        assert isinstance(audio, FoldedSound), "sound that was prepared by another attention"
        out = [self._attend_piece(x_BLD, audio, piece) for piece in pieces(layout)]
        return torch.cat(out, dim=1) if out else x_BLD

    def _attend_piece(self, x_BLD: Tensor, audio: FoldedSound, piece: Piece) -> Tensor:
        frames = slice(piece.first_frame - audio.first_frame, piece.end_frame - audio.first_frame)
        x = x_BLD[:, piece.start : piece.end].unflatten(1, (piece.end_frame - piece.first_frame, -1))
        scores = x @ audio.key[:, frames].transpose(-1, -2) + audio.bias[:, frames]
        weights = scores.float() if scores.dtype.itemsize < 4 else scores
        weights = weights.unflatten(-1, (self.num_heads, -1)).softmax(-1).flatten(-2).to(x.dtype)
        return (weights @ audio.value[:, frames] + self.proj.bias).flatten(1, 2)


def pieces(layout: TokenLayout) -> Iterator[Piece]:
    """A share cut where whole frames begin and end."""
    per_frame, start, end = layout.grid.tokens_per_frame, layout.start, layout.start + layout.count
    first_whole, last_whole = -(-start // per_frame) * per_frame, end // per_frame * per_frame
    for a, b in pairwise(sorted({start, min(first_whole, end), max(last_whole, start), end})):
        yield Piece(a - start, b - start, a // per_frame, -(-b // per_frame))


def _fold(rows_BTANE: Tensor, weight_NED: Tensor) -> Tensor:
    """Rows by head, times that head's matrix: [B, T, N A, D]."""
    return torch.einsum("btane,ned->btnad", rows_BTANE, weight_NED).flatten(2, 3)
