"""Measures of pictures: sharpness, colours, PSNR and SSIM, movement between frames. Pure functions.

What is measured of every frame takes uint8 tensors on any device (evaluate/film), the rest takes arrays.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.pipeline.colour import rgb_to_lab

LUMA = (0.299, 0.587, 0.114)
MEAN_PX, PALETTE_PX = 64, 16
"""Pixels a side to which pictures are reduced before colours are averaged and counted: fine detail is not identity."""
PALETTE_BINS = (5, 6, 6)
PALETTE_RANGE = ((0.0, 100.0), (-60.0, 60.0), (-60.0, 60.0))


def luminance(frames_FHWC: Tensor) -> Tensor:
    """uint8 RGB -> float32 FHW in 0..255."""
    red, green, blue = frames_FHWC.float().unbind(-1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def sharpness(frames_FHWC: Tensor) -> np.ndarray:
    """F: variance of the Laplacian of the luminance. Blur lowers it, noise and ringing raise it."""
    y = luminance(frames_FHWC)
    beside = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return (beside - 4 * y[:, 1:-1, 1:-1]).flatten(1).var(dim=1, correction=0).cpu().numpy()


def mean_lab(frames_FHWC: Tensor) -> np.ndarray:
    """FC: the mean CIE Lab colour of each picture."""
    return _lab(frames_FHWC, MEAN_PX).mean(dim=(2, 3)).T.cpu().numpy()


def palette(frames_FHWC: Tensor) -> np.ndarray:
    """[F, bins]: how much of the picture has which colour (Lab, coarse pixels, soft bins; sums to 1)."""
    lab_CFHW = _lab(frames_FHWC, PALETTE_PX)
    shares = [
        _soft_bins(channel_FHW.flatten(1), low, high, bins)
        for channel_FHW, (low, high), bins in zip(lab_CFHW, PALETTE_RANGE, PALETTE_BINS, strict=True)
    ]
    joint = torch.einsum("fpi,fpj,fpk->fijk", *shares) / shares[0].shape[1]
    return joint.flatten(1).cpu().numpy()


def palette_distance(palettes_FB: np.ndarray, reference_B: np.ndarray) -> np.ndarray:
    """F: the part of the picture whose colour would have to change, 0..1."""
    return np.abs(palettes_FB - reference_B).sum(axis=-1) / 2


def psnr(frames_FHWC: np.ndarray, truth_FHWC: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures in dB, over all of them together; inf if they are equal."""
    error = float(np.mean((frames_FHWC.astype(np.float32) - truth_FHWC.astype(np.float32)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def ssim(frames_FHWC: np.ndarray, truth_FHWC: np.ndarray) -> float:
    """Mean structural similarity of the luminance (Wang et al. 2004: 11 x 11 Gaussian window, sigma 1.5)."""
    x, y = (luminance(torch.from_numpy(frames))[:, None].double() for frames in (frames_FHWC, truth_FHWC))
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    shared = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def changes(frames_FHWC: Tensor, before_HWC: Tensor | None, still_HW: np.ndarray | None = None) -> np.ndarray:
    """F: mean |difference| of each picture to the one before it in 0..255, NaN where there is none.

    `before` is the picture before the first. `still` (booleans) restricts it to some pixels: flicker of a background.
    """
    first = frames_FHWC[:1] if before_HWC is None else before_HWC[None]
    film = torch.cat((first, frames_FHWC)).short()
    difference_FP = film.diff(dim=0).abs().float().mean(dim=-1).flatten(1)
    if still_HW is not None:
        difference_FP = difference_FP[:, torch.from_numpy(still_HW).flatten().to(difference_FP.device)]
    result: np.ndarray = difference_FP.mean(dim=1).cpu().numpy()
    if before_HWC is None:
        result[:1] = math.nan
    return result


def still_pixels(frames_FHWC: Tensor, levels: int = 3) -> np.ndarray:
    """HW booleans: pixels that never change by more than `levels` of 255 in a film (the drawn truth's background)."""
    spread = frames_FHWC.amax(dim=0).short() - frames_FHWC.amin(dim=0).short()
    still: np.ndarray = (spread.amax(dim=-1) <= levels).cpu().numpy()
    return still


def seam_ratio(changes_F: np.ndarray, chunk_frames: int) -> float:
    """Mean change where one chunk follows another by the mean change inside chunks: 1 is no seam; NaN if too short."""
    at_border = np.arange(len(changes_F)) % chunk_frames == 0
    known = np.isfinite(changes_F)
    border, inside = changes_F[at_border & known], changes_F[~at_border & known]
    return float(border.mean() / inside.mean()) if len(border) and inside.sum() > 0 else math.nan


def _lab(frames_FHWC: Tensor, side_px: int) -> Tensor:
    pixels = frames_FHWC.permute(0, 3, 1, 2).float() / 255
    return rgb_to_lab(F.adaptive_avg_pool2d(pixels, side_px).transpose(0, 1))


def _soft_bins(values_FP: Tensor, low: float, high: float, bins: int) -> Tensor:
    """[F, P, bins]: each value shared between the two bins next to it."""
    place = ((values_FP - low) / (high - low)).clamp(0, 1) * (bins - 1)
    return (1 - (place[..., None] - torch.arange(bins, device=place.device)).abs()).clamp(min=0)


def _blur(x_B1HW: Tensor) -> Tensor:
    taps = torch.exp(-(torch.arange(-5, 6, dtype=x_B1HW.dtype) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    return F.conv2d(F.conv2d(x_B1HW, taps[None, None, None]), taps[None, None, :, None])
