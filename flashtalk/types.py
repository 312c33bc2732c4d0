"""Values that travel between floors, and the legend of shape suffixes.

Legend (a tensor that crosses a function boundary ends in the letters of its dimensions):
    B batch   F video frames   T latent frames   H W height and width   C channels   L tokens   D model width
    N heads   E head width     A audio tokens of a latent frame   K neighbours in an audio window   S samples
`H W` are pixels beside F and latent cells beside T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""attend(q_BLNE, k_BLNE, v_BLNE) -> out_BLNE: softmax(q k^T / sqrt(E)) v, not masked."""

Span = Callable[[str], AbstractContextManager[None]]
"""span("denoise") is a context that times what runs inside it."""

NoiseSource = Callable[[int, int, tuple[int, ...]], Tensor]
"""noise(chunk_index, draw_index, shape) -> standard-normal float32; the same arguments give the same numbers."""

WindowSource = Callable[[int, int], Tensor]
"""windows(chunk_index, frames) -> [1, F, K, layers * width]: features of a chunk's frames and their neighbours."""


@dataclass(frozen=True)
class Grid:
    """Sizes of a chunk's latents: T latent frames of H x W cells, cut into patches of (1, patch_h, patch_w)."""

    frames: int
    height: int
    width: int
    patch: tuple[int, int, int] = (1, 2, 2)

    @property
    def token_shape(self) -> tuple[int, int, int]:
        """Tokens along frame, row and column."""
        return self.frames // self.patch[0], self.height // self.patch[1], self.width // self.patch[2]

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one latent frame."""
        _, rows, columns = self.token_shape
        return rows * columns

    @property
    def tokens(self) -> int:
        """Tokens of the whole chunk."""
        return self.token_shape[0] * self.tokens_per_frame


@dataclass(frozen=True)
class TokenLayout:
    """Which tokens of the grid, in (frame, row, column) order, this process holds: [start, start + count)."""

    grid: Grid
    start: int
    count: int

    @classmethod
    def whole(cls, grid: Grid) -> TokenLayout:
        """All tokens: what a single device holds."""
        return cls(grid, 0, grid.tokens)

    @property
    def lead(self) -> int:
        """Tokens of the first held frame that lie before `start`."""
        return self.start % self.grid.tokens_per_frame

    @property
    def frame_span(self) -> tuple[int, int]:
        """First latent frame touched and the one after the last."""
        per_frame = self.grid.tokens_per_frame
        return self.start // per_frame, -(-(self.start + self.count) // per_frame)


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of an attention whose rows do not change from step to step."""

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class BlockContext:
    """What one block attends to besides its own tokens and the sound: text rows and picture rows, each BLNE.

    text_weight_L: the logarithm of how often each text row counts; None: once.
    """

    text: KeyValue
    picture: KeyValue
    text_weight_L: Tensor | None = None


Context = tuple[BlockContext, ...]
AudioContext = tuple[KeyValue, ...]


@dataclass(frozen=True)
class ColourReference:
    """Mean and standard deviation of the portrait's Lab channels, shape [3, 1, 1, 1]; see pipeline/colour.py."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class Portrait:
    """What the picture contributes; immutable, shareable between sessions of one engine.

    reference_CTHW: mask (4 channels) and reference latents; motion_CTHW: the first chunk's motion latents (T = 1);
    image_LD: rows of the image tower.
    """

    reference_CTHW: Tensor
    motion_CTHW: Tensor
    image_LD: Tensor
    colour: ColourReference


@dataclass(frozen=True)
class Conditioning:
    """A visitor's constants between changes of prompt or portrait: raw rows and the keys and values made of them."""

    portrait: Portrait
    text_LD: Tensor
    context: Context = field(repr=False)


@dataclass(frozen=True)
class VideoChunk:
    """Frames and the sound that belongs to them, in one value, so that they cannot come apart.

    frames_FHWC: uint8 RGB. samples: float32 mono at `sample_rate`, exactly F / fps seconds except at the very end,
    where the last frame may cover less than a frame's sound. timings_s: seconds by stage name.
    """

    index: int
    first_frame: int
    frames_FHWC: np.ndarray
    samples: np.ndarray
    sample_rate: int
    fps: int
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def start_s(self) -> float:
        """When the chunk begins on the session's clock."""
        return self.first_frame / self.fps

    @property
    def duration_s(self) -> float:
        """How long its pictures last."""
        return len(self.frames_FHWC) / self.fps


class LatentCodec(Protocol):
    """Video <-> latents. Causal in time: the first latent is one frame, each later one `temporal_stride` frames."""

    latent_channels: int
    temporal_stride: int
    spatial_stride: int

    def encode(self, pixels_BCFHW: Tensor) -> Tensor:
        """Pixels in [-1, 1], F = 1 + temporal_stride * n -> normalised latents_BCTHW (the mean, never a sample)."""

    def decode(self, latents_BCTHW: Tensor) -> Tensor:
        """Normalised latents -> pixels_BCFHW clamped to [-1, 1]."""

    def decode_stream(self, latents_BCTHW: Tensor, sizes: int | Sequence[int] = 1) -> Iterator[Tensor]:
        """The same pixels in pieces, each yielded as soon as it is ready; sizes: latent frames of each piece."""


def no_span(_name: str) -> AbstractContextManager[None]:
    """A span that times nothing."""
    return nullcontext()
