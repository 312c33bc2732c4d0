"""Clips as training needs them, on the device: latents of every chunk, references, audio rows, prompts. Filled once by
train/data.py before the first iteration; train/sft.py and train/dmd.py draw batches from it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from flashtalk.checkpoint import write_tensors
from flashtalk.errors import InputError
from flashtalk.pipeline.window import audio_windows
from flashtalk.types import ColourReference

AUDIO_REACH = 2
"""Frames of sound kept before each chunk, so that its first windows have their neighbours."""


@dataclass(frozen=True)
class ClipPool:
    """N clips of one size, cut into K overlapping chunks. Frame numbers: chunk k starts at `starts[k]` of its clip.

    latents_NKCTHW: of each chunk, normalised. references_NKCTHW: latents of the chunk's first frame followed by grey
    ones, without mask. pictures_NKCHW: those frames in [-1, 1] at the size of the image tower. lab_NK23: mean and
    spread of their Lab channels. rows_NKVFLD: audio features of AUDIO_REACH + F frames in V augmented readings.
    ids_NL, mask_NL: the prompt's tokens.
    """

    latents_NKCTHW: Tensor
    references_NKCTHW: Tensor
    pictures_NKCHW: Tensor
    lab_NK23: Tensor
    rows_NKVFLD: Tensor
    ids_NL: Tensor
    mask_NL: Tensor

    def __len__(self) -> int:
        return len(self.latents_NKCTHW)

    @property
    def chunks(self) -> int:
        """K."""
        return self.latents_NKCTHW.shape[1]

    @classmethod
    def join(cls, parts: list[ClipPool]) -> ClipPool:
        """One pool of several."""
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def save(self, file: Path) -> None:
        """Write all of it; raises CheckpointError."""
        write_tensors(file, {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, file: Path, device: torch.device) -> ClipPool:
        """What `save` wrote. Raises InputError(pool_damaged)."""
        try:
            tensors = load_file(file, device=str(device))
            return cls(**{f.name: tensors[f.name] for f in fields(cls)})
        except (SafetensorError, OSError, KeyError) as error:
            raise InputError(f"{file.name} is damaged; remove it and it is made again", code="pool_damaged") from error

    def windows(self, clip_B: Tensor, chunk_B: Tensor, voice_B: Tensor, neighbours: int) -> Tensor:
        """Audio windows_BFKD of those chunks, float32."""
        hidden = self.rows_NKVFLD[clip_B, chunk_B, voice_B].float()
        return audio_windows(hidden, AUDIO_REACH, hidden.shape[1] - AUDIO_REACH, neighbours)

    def colour(self, clip: int, chunk: int) -> ColourReference:
        """What the colour match of a stream that starts from this reference moves to."""
        mean, std = self.lab_NK23[clip, chunk][..., None, None, None]
        return ColourReference(mean, std)

    def reference(self, clip_B: Tensor, chunk_B: Tensor, mask_channels: int) -> Tensor:
        """Mask and reference latents, as pipeline/conditioning builds them: [B, mask_channels + C, T, H, W] float32."""
        latents = self.references_NKCTHW[clip_B, chunk_B].float()
        mask = torch.zeros_like(latents[:, :1]).repeat(1, mask_channels, 1, 1, 1)
        mask[:, :, 0] = 1
        return torch.cat((mask, latents), dim=1)


@dataclass(frozen=True)
class Picks:
    """Which samples a batch takes, all [B]: clip, chunk, the chunk whose first frame is the reference, reading."""

    clip_B: Tensor
    chunk_B: Tensor
    reference_B: Tensor
    voice_B: Tensor
    motion_B: Tensor
    """Latent frames given as motion: 1 as at a stream's start, or as many as later chunks have."""


def pick(
    pool: ClipPool, generator: torch.Generator, batch: int, *, motion_latents: int, first_chunk_share: float
) -> Picks:
    """A batch for SFT. The reference lies outside the window (paper 3.2): a window's own frames teach to ignore it.

    Only a stream's first chunk starts from its reference: half of `first_chunk_share` does.
    """
    device = generator.device

    def integers(high: int) -> Tensor:
        return torch.randint(high, (batch,), generator=generator, device=device)

    clip_B, chunk_B, voice_B = integers(len(pool)), integers(pool.chunks), integers(pool.rows_NKVFLD.shape[2])
    share_B = torch.rand(batch, generator=generator, device=device)
    first_B = share_B < first_chunk_share
    # Chunk k shares its last frames with the start of k + 1: both are skipped where there are others.
    step_B = 2 + integers(max(1, pool.chunks - 2))
    reference_B = (chunk_B + step_B) % pool.chunks if pool.chunks > 1 else chunk_B
    reference_B = torch.where(share_B < first_chunk_share / 2, chunk_B, reference_B)
    motion_B = torch.where(first_B, 1, motion_latents)
    return Picks(clip_B, chunk_B, reference_B, voice_B, motion_B)
