"""One chunk of the streaming loop, as a pure function. Sessions serve through it and training rolls out through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flashtalk.models.dit import DiT
from flashtalk.pipeline.bridge import Bridge
from flashtalk.pipeline.colour import match_colour
from flashtalk.pipeline.denoise import DrawNoise, Sampler, denoise
from flashtalk.types import ColourReference, Conditioning, LatentCodec, Span, no_span

GivePixels = Callable[[Tensor], None]
"""give(pixels_BCFHW): some of the new frames, in their order, colour matched."""


def no_one(_pixels_BCFHW: Tensor) -> None:
    """Nobody waits for pixels before all are made."""


@dataclass(frozen=True)
class RenderedChunk:
    """New pixels [3, F, H, W] in [-1, 1], colour matched, and the motion latents of the chunk that follows."""

    pixels_CFHW: Tensor
    motion_CTHW: Tensor


def render_chunk(
    dit: DiT,
    codec: LatentCodec,
    sampler: Sampler,
    draw: DrawNoise,
    motion_CTHW: Tensor,
    conditioning: Conditioning,
    windows_BFKD: Tensor,
    *,
    motion_frames: int,
    colour_strength: float,
    span: Span = no_span,
    bridge: Bridge | None = None,
    early: bool = False,
    give: GivePixels = no_one,
) -> RenderedChunk:
    """Denoise, decode, match colours, encode the last frames again; `bridge`, `early` and `give`: see hand_over.

    `windows` fix the number of frames F = 1 + stride * n; the first `motion_frames` repeat the past and are dropped.
    """
    portrait, motion = conditioning.portrait, motion_CTHW[None]
    latent_frames = 1 + (windows_BFKD.shape[1] - 1) // codec.temporal_stride
    grid = dit.grid(latent_frames, *motion.shape[3:])
    with span("denoise"):
        positions = dit.positions(grid, motion.device)
        audio = dit.embed_audio(windows_BFKD.to(dit.dtype), positions.layout)
        reference = portrait.reference_CTHW[None, :, :latent_frames]
        latents = denoise(dit, sampler, draw, motion, reference, positions, conditioning.context, audio)
    pixels, next_motion = hand_over(
        codec,
        latents,
        [portrait.colour],
        motion_frames=motion_frames,
        colour_strength=colour_strength,
        span=span,
        bridge=bridge,
        early=early,
        give=give,
    )
    return RenderedChunk(pixels[0], next_motion[0])


def hand_over(
    codec: LatentCodec,
    latents_BCTHW: Tensor,
    colours: Sequence[ColourReference],
    *,
    motion_frames: int,
    colour_strength: float,
    span: Span = no_span,
    bridge: Bridge | None = None,
    early: bool = False,
    give: GivePixels = no_one,
) -> tuple[Tensor, Tensor]:
    """Latents of finished chunks, one colour reference each -> new pixels_BCFHW and motion_BCTHW of what follows.

    `give` gets the new pixels as soon as they are made; with `early` the first of them are made by themselves. `bridge`
    leads from the last frame shown to them.
    """
    latent_frames = latents_BCTHW.shape[2]
    sizes = first_apart(latent_frames, motion_frames, codec.temporal_stride) if early else (latent_frames,)
    decoded, parts = codec.decode_stream(latents_BCTHW, sizes), list[Tensor]()
    for _ in sizes:
        with span("decode"):
            pixels = next(decoded)
        past = 0 if parts else motion_frames
        with span("colour"):
            new = _matched(pixels[:, :, past:], colours, colour_strength)
            if bridge and past:
                seen = _matched(pixels[:, :, past - 1 : past], colours, colour_strength)
                bridge.begin(seen, new[:, :, : codec.temporal_stride - (past - 1) % codec.temporal_stride])
            parts.append(bridge.across(new) if bridge else new)
        give(parts[-1])
    with span("encode"):
        pixels = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
        return pixels, codec.encode(pixels[:, :, -motion_frames:])


def _matched(pixels_BCFHW: Tensor, colours: Sequence[ColourReference], strength: float) -> Tensor:
    matched = [match_colour(*pair, strength) for pair in zip(pixels_BCFHW, colours, strict=True)]
    return torch.stack(matched) if len(matched) > 1 else matched[0][None]


def first_apart(latent_frames: int, motion_frames: int, stride: int) -> tuple[int, ...]:
    """Latent frames in two pieces: as few as hold a new frame, and what is left."""
    first = 2 + (motion_frames - 1) // stride
    return (first, latent_frames - first) if first < latent_frames else (latent_frames,)
