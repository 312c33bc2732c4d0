"""The diffusion transformer: noisy latents, time, text, picture and sound -> velocity. Called by pipeline/denoise.

One forward for one device and for many: what is constant in a session or a chunk is prepared outside the loop, and a
`SequencePart` given from outside says which tokens this process computes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flashtalk.config import DiTConfig
from flashtalk.models.blocks import DiTBlock, Head
from flashtalk.models.rope import Positions, rotary_positions
from flashtalk.ops.attention import count_weights
from flashtalk.types import Attend, AudioContext, Context, Grid, TokenLayout

FEWEST_COPIES = 8
"""Of a padding row: half precision then states how often they count to 0.2 % (ops/attention.count_weights)."""

SHORT_ROWS = 128
"""Text rows kept of a prompt that leaves room for padding; all of a longer one. Two sizes are two compilations."""


@dataclass(frozen=True)
class TimeEmbedding:
    """One timestep: time_BD for the head and modulation_B6D for the blocks, float32."""

    time_BD: Tensor
    modulation_B6D: Tensor


class SequencePart(Protocol):
    """Which share of the tokens this process holds, and how shares are cut and joined."""

    def layout(self, grid: Grid) -> TokenLayout:
        """The share of this process."""

    def split(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:
        """All tokens -> the share."""

    def gather(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:
        """The share -> all tokens."""


class WholeSequence:
    """The share of a process that is alone: everything."""

    def layout(self, grid: Grid) -> TokenLayout:
        """All tokens."""
        return TokenLayout.whole(grid)

    def split(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:
        """The tokens themselves, each in one piece of memory: all residual sums take the layout of this first term."""
        assert tokens_BLD.shape[1] == layout.count, f"{tokens_BLD.shape[1]} tokens for a layout of {layout.count}"
        return tokens_BLD.contiguous()

    def gather(self, tokens_BLD: Tensor, layout: TokenLayout) -> Tensor:  # noqa: ARG002  the protocol's shape
        """The tokens themselves."""
        return tokens_BLD


class AudioProjection(nn.Module):
    """Windows of audio features -> audio tokens of each latent frame.

    The first latent frame is one video frame and takes its whole window of K neighbours. Each later one covers
    `stride` frames: the first gives its neighbours up to the centre, the middle ones their centre, the last from its
    centre on: K + stride - 1 rows in all.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.window, self.stride = config.audio_window, config.temporal_stride
        self.token_shape = (config.audio_tokens, config.audio_token_dim)
        row, hidden = config.audio_layers * config.audio_dim, config.audio_hidden_dim
        self.proj1 = nn.Linear(self.window * row, hidden)
        self.proj1_vf = nn.Linear((self.window + self.stride - 1) * row, hidden)
        self.proj2 = nn.Linear(hidden, hidden)
        self.proj3 = nn.Linear(hidden, config.audio_tokens * config.audio_token_dim)
        self.norm = nn.LayerNorm(config.audio_token_dim)

    def forward(self, windows_BFKD: Tensor) -> Tensor:
        """[B, F, K, layers * width] with F = 1 + stride * n -> tokens_BTAD with T = 1 + n."""
        first = self.proj1(windows_BFKD[:, :1].flatten(2))
        later = self.proj1_vf(self._group(windows_BFKD[:, 1:]))
        hidden = F.relu(self.proj2(F.relu(torch.cat((first, later), dim=1))))
        return self.norm(self.proj3(hidden).unflatten(-1, self.token_shape))

    def _group(self, windows_BFKD: Tensor) -> Tensor:
        centre = self.window // 2
        groups = windows_BFKD.unflatten(1, (-1, self.stride))
        rows = (
            groups[:, :, 0, : centre + 1].flatten(2),
            groups[:, :, 1:-1, centre].flatten(2),
            groups[:, :, -1, centre:].flatten(2),
        )
        return torch.cat(rows, dim=-1)


class PictureEmbedding(nn.Module):
    """Rows of the image tower -> rows of model width."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(in_dim),
            nn.Linear(in_dim, in_dim),
            nn.GELU(),
            nn.Linear(in_dim, out_dim),
            nn.LayerNorm(out_dim),
        )

    def forward(self, rows_BLD: Tensor) -> Tensor:
        """[B, L, in_dim] -> [B, L, out_dim]."""
        return self.proj(rows_BLD)


def kept_rows(given: int, total: int) -> int:
    """Rows kept of `total`, of which all but `given` are equal: FEWEST_COPIES of those at least."""
    return min(total, SHORT_ROWS) if given + FEWEST_COPIES <= SHORT_ROWS else total


class Blocks(Protocol):
    """A ModuleList, typed by what it holds."""

    def __iter__(self) -> Iterator[DiTBlock]:
        """The blocks in order."""

    def __len__(self) -> int:
        """How many."""


class DiT(nn.Module):
    """See the module's docstring; `config` fixes all sizes."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        self.sequence: SequencePart = WholeSequence()
        self.counts_padding = True
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, config.patch_size, config.patch_size)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks: Blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.num_layers))  # type: ignore[assignment]
        self.head = Head(config)
        self.img_emb = PictureEmbedding(config.image_dim, dim)
        self.audio_proj = AudioProjection(config)

    @staticmethod
    def keeps_float32(name: str) -> bool:
        """Whether the parameter `name` stays float32 when the others are stored in half precision."""
        return name.startswith("time_") or name.endswith("modulation")

    @property
    def dtype(self) -> torch.dtype:
        """What the linears compute in."""
        return self.patch_embedding.weight.dtype

    def set_attention(self, attend: Attend, *, own: Attend | None = None) -> None:
        """Choose the kernels: `attend` everywhere, `own` for self-attention where it differs (sequence parallel)."""
        for block in self.blocks:
            block.self_attn.attend = own or attend
            block.cross_attn.attend = block.audio_cross_attn.attend = attend

    def set_sequence(self, part: SequencePart) -> None:
        """Compute only a share of the tokens."""
        self.sequence = part

    def grid(self, frames: int, height: int, width: int) -> Grid:
        """The token grid of T x H x W latents."""
        return Grid(frames, height, width, self.config.patch_size)

    def positions(self, grid: Grid, device: torch.device) -> Positions:
        """Rotation tables of this process's tokens; constant for a picture size."""
        return rotary_positions(self.sequence.layout(grid), self.config.head_dim, device)

    def embed_time(self, timestep_B: Tensor) -> TimeEmbedding:
        """Timesteps in 0..1000 -> embedding. The angles are built in float64 on the host: a timestep is known early."""
        half = self.config.freq_dim // 2
        rate = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        angle = timestep_B.double().cpu()[:, None] * rate
        wave = torch.cat((angle.cos(), angle.sin()), dim=1)
        weight = next(self.time_embedding.parameters())
        time_BD = self.time_embedding(wave.to(weight.device, weight.dtype))
        return TimeEmbedding(time_BD.float(), self.time_projection(time_BD).unflatten(1, (6, -1)).float())

    def embed_context(self, text_BLD: Tensor, picture_BLD: Tensor) -> Context:
        """Text rows (any number up to text_len) and picture rows -> context.

        Trained with zero rows up to text_len, which are attended to. They are all equal, so a few count for all, unless
        `counts_padding` is off.
        """
        given, total = text_BLD.shape[1], self.config.text_len
        kept = kept_rows(given, total) if self.counts_padding else total
        text = self.text_embedding(F.pad(text_BLD, (0, 0, 0, kept - given)))
        weight_L = None if kept == total else count_weights(given, kept - given, total - given, text)
        picture = self.img_emb(picture_BLD)
        return tuple(block.cross_attn.prepare(text, picture, weight_L) for block in self.blocks)

    def embed_audio(self, windows_BFKD: Tensor, layout: TokenLayout | None = None) -> AudioContext:
        """Windows [B, F, K, layers * width] of a chunk's frames -> keys and values for every block.

        `layout` is the share of the tokens that will attend to them, if that is known.
        """
        tokens = self.audio_proj(windows_BFKD)
        return tuple(block.audio_cross_attn.prepare(tokens, layout) for block in self.blocks)

    def forward(
        self,
        latents_BCTHW: Tensor,
        reference_BCTHW: Tensor,
        time: TimeEmbedding,
        positions: Positions,
        context: Context,
        audio: AudioContext,
    ) -> Tensor:
        """Velocity v_BCTHW (float32) with x0 = x_sigma - sigma v. `reference` is mask and reference latents."""
        x = torch.cat((latents_BCTHW.to(self.dtype), reference_BCTHW.to(self.dtype)), dim=1)
        x = self.patch_embedding(x)
        tokens = self.sequence.split(x.flatten(2).transpose(1, 2), positions.layout)
        for block, block_context, block_audio in zip(self.blocks, context, audio, strict=True):
            tokens = block(tokens, time.modulation_B6D, positions, block_context, block_audio)
        patches = self.sequence.gather(self.head(tokens, time.time_BD), positions.layout)
        return self._unpatchify(patches, positions.layout.grid).float()

    def _unpatchify(self, patches_BLC: Tensor, grid: Grid) -> Tensor:
        _, patch_h, patch_w = grid.patch
        x = patches_BLC.unflatten(1, grid.token_shape).unflatten(-1, (patch_h, patch_w, -1))
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)
