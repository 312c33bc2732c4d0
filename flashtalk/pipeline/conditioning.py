"""Picture and prompt -> Conditioning: computed once a visitor, immutable, shareable between sessions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.errors import InputError
from flashtalk.pipeline.colour import measure
from flashtalk.pipeline.networks import Networks
from flashtalk.types import Conditioning, LatentCodec, Portrait


def make_portrait(networks: Networks, rgb_HWC: np.ndarray, chunk_frames: int) -> Portrait:
    """uint8 RGB of the session's size -> what the networks keep of it."""
    multiple = networks.config.size_multiple
    if rgb_HWC.shape[0] % multiple[0] or rgb_HWC.shape[1] % multiple[1]:
        raise InputError(
            f"the portrait is {rgb_HWC.shape[1]}x{rgb_HWC.shape[0]}; {networks.config.name} needs a width that is a "
            f"multiple of {multiple[1]} and a height of {multiple[0]}: fit it first",
            code="image_size",
        )
    pixels = to_pixels(rgb_HWC[None], networks.device)
    picture = pixels[:, :, 0]
    return Portrait(
        reference_CTHW=_reference(networks, pixels, chunk_frames),
        motion_CTHW=networks.codec.encode(pixels)[0],
        image_LD=networks.image_encoder(picture)[0],
        colour=measure(pixels[0]),
    )


def check_portrait(portrait: Portrait, codec: LatentCodec, stream: StreamConfig) -> None:
    """Raises InputError (portrait_size) unless it was prepared for a stream of this size."""
    cells = (stream.height // codec.spatial_stride, stream.width // codec.spatial_stride)
    latent_frames = 1 + (stream.chunk_frames - 1) // codec.temporal_stride
    given = tuple(portrait.reference_CTHW.shape[1:])
    if given != (latent_frames, *cells):
        raise InputError(
            f"this portrait was prepared for {given} latents; a stream of {stream.width}x{stream.height} with "
            f"{stream.chunk_frames} frames a chunk needs {(latent_frames, *cells)}: prepare it with this stream",
            code="portrait_size",
        )


def make_conditioning(networks: Networks, portrait: Portrait, prompt: str) -> Conditioning:
    """Portrait and prompt -> all that stays the same from chunk to chunk."""
    return conditioning_from_rows(networks, portrait, networks.text_encoder.encode(prompt, networks.tokenizer))


def conditioning_from_rows(networks: Networks, portrait: Portrait, text_LD: Tensor) -> Conditioning:
    """The same from rows of text that were computed before."""
    dtype = networks.dit.dtype
    context = networks.dit.embed_context(text_LD[None].to(dtype), portrait.image_LD[None].to(dtype))
    return Conditioning(portrait, text_LD, context)


def to_pixels(frames_FHWC: np.ndarray, device: torch.device) -> Tensor:
    """uint8 -> float32 [1, 3, F, H, W] in [-1, 1]."""
    frames = torch.from_numpy(np.ascontiguousarray(frames_FHWC)).to(device)
    return (frames.float() / 127.5 - 1).permute(3, 0, 1, 2)[None]


def to_frames(pixels_CFHW: Tensor, out_FHWC: Tensor | None = None) -> Tensor:
    """Pixels in [-1, 1] -> uint8 frames_FHWC on the same device, or in `out`, wherever that is, without waiting."""
    levels = (pixels_CFHW + 1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 3, 0)
    return levels.contiguous() if out_FHWC is None else out_FHWC.copy_(levels, non_blocking=True)


def _reference(networks: Networks, pixels_BCFHW: Tensor, chunk_frames: int) -> Tensor:
    """Mask and reference latents [stride + C, T, H, W]: latents of the portrait followed by mid-grey frames."""
    latents = networks.codec.encode(F.pad(pixels_BCFHW, (0, 0, 0, 0, 0, chunk_frames - 1)))[0]
    mask = torch.zeros_like(latents[:1]).repeat(networks.codec.temporal_stride, 1, 1, 1)
    mask[:, 0] = 1
    return torch.cat((mask, latents))
