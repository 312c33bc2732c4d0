"""From the last frame shown to a new chunk's first ones without a jump. Used by pipeline/chunk where a stream wants it.

A chunk's motion latents are the frames before it, encoded. Decoded again they differ from what was shown by the codec's
error; the difference is added to the first new frames, less and less. Not in the paper: `stream.bridge_frames` 0 is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Bridge:
    """Of one chunk. shown_HWC: the last frame shown, uint8; frames: how many new ones it reaches over."""

    def __init__(self, shown_HWC: np.ndarray, frames: int, device: torch.device) -> None:
        levels = torch.from_numpy(shown_HWC).to(device)
        self._shown_CFHW = (levels.permute(2, 0, 1)[:, None].float() / 127.5) - 1
        self._frames = frames
        self._done = 0
        self._gap_BCFHW: Tensor | None = None

    def begin(self, seen_BCFHW: Tensor) -> None:
        """seen: the same moment as this chunk decodes it, one frame in [-1, 1]."""
        self._gap_BCFHW = self._shown_CFHW - seen_BCFHW

    def across(self, pixels_BCFHW: Tensor) -> Tensor:
        """The next new frames, in [-1, 1]; they may come in pieces."""
        assert self._gap_BCFHW is not None, "begin() comes first"
        frames = pixels_BCFHW.shape[2]
        place_F = torch.arange(self._done + 1, self._done + 1 + frames, device=pixels_BCFHW.device)
        self._done += frames
        weight_F = (1 - place_F / (self._frames + 1)).clamp(min=0)
        return (pixels_BCFHW + weight_F.view(-1, 1, 1) * self._gap_BCFHW).clamp(-1, 1)
