"""Encoders whose weights only rank 0 holds: it computes, the others are told. Attached by engine/ranks.py.

For what is computed once a session; the audio encoder, needed for each chunk and small, is on every rank.
"""

from __future__ import annotations

from torch import Tensor, nn

from flashtalk.models.text_encoder import TextEncoder, Tokenizer
from flashtalk.parallel.groups import Ranks

ON_FIRST_RANK = ("text_encoder", "image_encoder")
"""Components that the other ranks leave without weights."""


class FirstRankText(nn.Module):
    """A TextEncoder for all ranks."""

    def __init__(self, inner: TextEncoder, ranks: Ranks) -> None:
        super().__init__()
        self.inner = inner
        self._ranks = ranks

    def encode(self, text: str, tokenizer: Tokenizer) -> Tensor:
        """See TextEncoder; all ranks call it with the same text."""
        return self._ranks.from_first(lambda: self.inner.encode(text, tokenizer))


class FirstRankImage(nn.Module):
    """An ImageEncoder for all ranks."""

    def __init__(self, inner: nn.Module, ranks: Ranks) -> None:
        super().__init__()
        self.inner = inner
        self._ranks = ranks

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """See ImageEncoder; all ranks call it with the same picture."""
        return self._ranks.from_first(lambda: self.inner(pixels_BCHW))
