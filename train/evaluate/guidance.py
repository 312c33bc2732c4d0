"""A teacher's sampler for evaluation: guidance by text and sound, many Euler steps, inside an ordinary session.

Called by evaluate/networks; the session, its sound window and its chunks stay those that serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.models.dit import DiT, TimeEmbedding
from flashtalk.models.rope import Positions
from flashtalk.pipeline.noise import SeededNoise
from flashtalk.pipeline.schedule import T_MAX
from flashtalk.types import AudioContext, Context, Grid, TokenLayout
from train.losses import guided

BRANCHES = 3


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Strengths in the standard convention: 1 is the plain conditional prediction."""

    text: float = 3.0
    audio: float = 4.0
    null_prompt: str = ""
    """The prompt of the branches without text; the one that text dropout used in training."""


@dataclass(frozen=True)
class _Timed(TimeEmbedding):
    sigma: float


class GuidedDiT:
    """Looks like a DiT and gives v(0,0) + a [v(0,sound) - v(0,0)] + w [v(text,sound) - v(0,sound)] (MultiTalk).

    The few-step loop adds noise of the next level after each prediction of x0. When that noise is the one which the
    network itself saw in x, the step is Euler's: x' = (1 - s') x0 + s' e = x - (s - s') v. `noise` gives it.
    """

    def __init__(self, dit: DiT, null_text_LD: Tensor, guidance: Guidance, seed: int = 0) -> None:
        self._dit, self._null_text_LD, self._guidance = dit, null_text_LD, guidance
        self._first = SeededNoise(seed, null_text_LD.device)
        self._seen_noise: Tensor | None = None

    def as_dit(self) -> DiT:
        """The same object, as the type that Networks holds: it has all that the pipeline calls."""
        return cast(DiT, self)

    @property
    def dtype(self) -> torch.dtype:
        """What the linears compute in."""
        return self._dit.dtype

    def grid(self, frames: int, height: int, width: int) -> Grid:
        """The token grid of T x H x W latents."""
        return self._dit.grid(frames, height, width)

    def positions(self, grid: Grid, device: torch.device) -> Positions:
        """Rotation tables."""
        return self._dit.positions(grid, device)

    def embed_time(self, timestep_B: Tensor) -> TimeEmbedding:
        """The embedding, which remembers its sigma."""
        time = self._dit.embed_time(timestep_B)
        return _Timed(time.time_BD, time.modulation_B6D, float(timestep_B[0]) / T_MAX)

    def embed_context(self, text_BLD: Tensor, picture_BLD: Tensor) -> Context:
        """Rows of the three branches: (text, null, null), each with the picture."""
        null_BLD = self._null_text_LD[None]
        length = max(text_BLD.shape[1], null_BLD.shape[1])
        text, null = (F.pad(rows, (0, 0, 0, length - rows.shape[1])) for rows in (text_BLD, null_BLD))
        return self._dit.embed_context(torch.cat((text, null, null)), picture_BLD.expand(BRANCHES, -1, -1))

    def embed_audio(self, windows_BFKD: Tensor, layout: TokenLayout | None = None) -> AudioContext:
        """Sound of the three branches: (sound, sound, none); none is zero features, not silence."""
        branches = torch.cat((windows_BFKD, windows_BFKD, torch.zeros_like(windows_BFKD)))
        return self._dit.embed_audio(branches, layout)

    def __call__(
        self,
        latents_BCTHW: Tensor,
        reference_BCTHW: Tensor,
        time: TimeEmbedding,
        positions: Positions,
        context: Context,
        audio: AudioContext,
    ) -> Tensor:
        """The guided velocity [1, C, T, H, W]."""
        assert isinstance(time, _Timed), "the time was not embedded here"
        latents, reference = (x.expand(BRANCHES, -1, -1, -1, -1) for x in (latents_BCTHW, reference_BCTHW))
        full, sound, none = self._dit(latents, reference, time, positions, context, audio).split(1)
        velocity = guided(full, sound, none, self._guidance.text, self._guidance.audio)
        self._seen_noise = latents_BCTHW + (1 - time.sigma) * velocity
        return velocity

    def noise(self, chunk_index: int, draw_index: int, shape: tuple[int, ...]) -> Tensor:
        """A NoiseSource: random for the first draw of a chunk, later what the last prediction saw as noise."""
        if draw_index == 0:
            return self._first(chunk_index, 0, shape)
        assert self._seen_noise is not None, "no step was predicted before this draw"
        return self._seen_noise[0]
