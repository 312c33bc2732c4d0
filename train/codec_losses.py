"""What the light codec is trained to: sharp pictures, most where they move, and latents that a model can learn.

Called by train/codec.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class CodecWeights:
    """Weights of the parts; see CodecTraining."""

    motion: float
    gradient: float
    jump: float
    latent: float


def codec_loss(
    pixels_BCFHW: Tensor, decoded_BCFHW: Tensor, latents_BCTHW: Tensor, weights: CodecWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts (0-d tensors). Pixels in [-1, 1]; latents before normalisation have about unit scale."""
    weight = 1 + weights.motion * motion_of(pixels_BCFHW)
    error = decoded_BCFHW - pixels_BCFHW
    # L1 keeps edges, the square pays for rare large misses: a mouth that should be open.
    pixel = (weight * (error.abs() + error.square())).mean()
    gradient = (weight * (_edges(error, 3) + _edges(error, 4))).mean()
    coarse = F.avg_pool3d(error, (1, 4, 4)).abs().mean()
    jump = _jumps(pixels_BCFHW, decoded_BCFHW)
    latent = latents_BCTHW.square().mean()
    loss = pixel + weights.gradient * gradient + coarse + weights.jump * jump + weights.latent * latent
    parts = {"mse": error.square().mean(), "pixel": pixel, "gradient": gradient, "coarse": coarse}
    parts |= {"jump": jump, "latent": latent}
    return loss, {name: part.detach() for name, part in parts.items()}


def motion_of(pixels_BCFHW: Tensor) -> Tensor:
    """[B, 1, F, H, W], 0 where nothing moves to 1: distance to the clip's mean picture, spread to the neighbours."""
    distance = (pixels_BCFHW - pixels_BCFHW.mean(2, keepdim=True)).abs().mean(1, keepdim=True)
    return F.max_pool3d(distance, (1, 5, 5), stride=1, padding=(0, 2, 2)).clamp(max=0.5) * 2


def _jumps(pixels_BCFHW: Tensor, decoded_BCFHW: Tensor) -> Tensor:
    """Where things change from frame to frame, and how much: the second counts also when the place is missed.

    The first alone is least for motion that stands still whenever it is unsure.
    """
    wanted, made = pixels_BCFHW.diff(dim=2), decoded_BCFHW.diff(dim=2)
    amount = F.avg_pool3d(made.abs(), (1, 8, 8)) - F.avg_pool3d(wanted.abs(), (1, 8, 8))
    return (made - wanted).abs().mean() + 2 * amount.abs().mean()


def psnr_db(mse: Tensor) -> Tensor:
    """Of pixels in [-1, 1], whose peak is 2."""
    return 10 * (4 / mse.clamp(min=1e-10)).log10()


def _edges(error: Tensor, dim: int) -> Tensor:
    """Absolute difference of neighbours along `dim`, same shape (0 at the end)."""
    difference = error.diff(dim=dim).abs()
    pad = [0, 0, 0, 0]
    pad[2 * (4 - dim) + 1] = 1
    return F.pad(difference, pad)
