"""From the last frame shown to a new chunk's first ones without a jump. Used by pipeline/chunk where a stream wants it.

Where chunks meet, pictures that the transformer made follow pictures that went through the codec once more: they differ
as a whole, not by motion. Not in the paper: `stream.bridge_frames` 0 is.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.ops.transfer import to_device

COARSE_PX = 2
"""What is larger is taken from where motion leads; finer detail would be a ghost wherever motion is not even."""


class Bridge:
    """Of one chunk. shown_HWC: the last frame shown, uint8; frames: how many new ones it reaches over.

    How would that moment look in the new chunk? As the frames of its first new latent, continued backwards by their
    mean motion; in detail, as it decodes its motion latents. The difference is added to new frames, less and less.
    """

    def __init__(self, shown_HWC: np.ndarray, frames: int, device: torch.device) -> None:
        self._shown_CFHW = (to_device(shown_HWC, device).permute(2, 0, 1)[:, None].float() / 127.5) - 1
        self._frames = frames
        self._done = 0
        self._gap_BCFHW: Tensor | None = None

    def begin(self, seen_BCFHW: Tensor, first_BCFHW: Tensor) -> None:
        """seen: that moment as the chunk decodes it, one frame; first: the new frames of the first new latent."""
        gap, detail = self._shown_CFHW - _frame_before(first_BCFHW), self._shown_CFHW - seen_BCFHW
        self._gap_BCFHW = _coarse(gap) + detail - _coarse(detail)

    def across(self, pixels_BCFHW: Tensor) -> Tensor:
        """The next new frames, in [-1, 1]; they may come in pieces."""
        assert self._gap_BCFHW is not None, "begin() comes first"
        frames = pixels_BCFHW.shape[2]
        place_F = torch.arange(self._done + 1, self._done + 1 + frames, device=pixels_BCFHW.device)
        self._done += frames
        weight_F = (1 - place_F / (self._frames + 1)).clamp(min=0)
        return (pixels_BCFHW + weight_F.view(-1, 1, 1) * self._gap_BCFHW).clamp(-1, 1)


def _frame_before(pixels_BCFHW: Tensor) -> Tensor:
    first, last, steps = pixels_BCFHW[:, :, :1], pixels_BCFHW[:, :, -1:], pixels_BCFHW.shape[2] - 1
    return first - (last - first) / max(1, steps)


def _coarse(frame_BCFHW: Tensor) -> Tensor:
    frame_BCHW = frame_BCFHW[:, :, 0]
    blurred = F.interpolate(F.avg_pool2d(frame_BCHW, COARSE_PX), size=frame_BCHW.shape[2:], mode="bilinear")
    return blurred[:, :, None]
