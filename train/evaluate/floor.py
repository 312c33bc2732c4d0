"""What the codec alone costs: the drawing cut as a stream is, each chunk encoded and decoded. Called by scenes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.pipeline.conditioning import to_frames, to_pixels
from flashtalk.pipeline.networks import Networks
from train.evaluate import pictures
from train.evaluate.scores import Numbers

SSIM_EVERY = 8


@torch.inference_mode()
def through_codec(
    networks: Networks, stream: StreamConfig, portrait_HWC: np.ndarray, frames_FHWC: Tensor
) -> Iterator[Tensor]:
    """The new frames of each chunk: uint8 [chunk_frames - motion_frames, H, W, 3], the last one cut to the film.

    A chunk begins with the drawing's last `motion_frames` before it (the first with the portrait), as a stream's does.
    """
    motion, new = stream.motion_frames, stream.chunk_frames - stream.motion_frames
    before = torch.from_numpy(portrait_HWC).expand(motion, -1, -1, -1)
    for start in range(0, len(frames_FHWC), new):
        part = frames_FHWC[start : start + new]
        filled = torch.cat((before, part, part[-1:].expand(new - len(part), -1, -1, -1)))
        latents = networks.codec.encode(to_pixels(filled.numpy(), networks.device))
        yield to_frames(networks.codec.decode(latents)[0])[motion : motion + len(part)]
        before = part[-motion:]


def picture_scores(shown_FHWC: np.ndarray, drawn_FHWC: np.ndarray) -> Numbers:
    """PSNR over all frames together, mean SSIM of every eighth."""
    some = slice(None, None, SSIM_EVERY)
    return {
        "psnr": pictures.psnr(shown_FHWC, drawn_FHWC),
        "ssim": pictures.ssim(shown_FHWC[some], drawn_FHWC[some]),
    }
