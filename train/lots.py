"""Clips in lots of a few: drawn, or read from shards, and turned into what pools hold. For train/data and train/draw.

A lot depends on its config and its first clip's number alone, so any process may make it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.text_encoder import Tokenizer, load_tokenizer
from flashtalk.models.vae import WanVAE
from flashtalk.pipeline.colour import measure
from flashtalk.types import LatentCodec
from train.config import DmdTraining, DrawnData, SftTraining
from train.draws import Draws
from train.encoders import token_ids
from train.pool import AUDIO_REACH, ClipPool
from train.scripts import Order, Part
from train.sound import Listener
from train.stages import get_module
from train.synthetic.augment import Augment, AugmentConfig
from train.synthetic.render import Renderer
from train.synthetic.traits import nearer

CLIPS_AT_ONCE = 8
CONTEXTS_AT_ONCE = 64
HELD_OUT_SHARE = 16
"""A validation set has 1 clip for so many of training."""


@dataclass(frozen=True)
class Lot:
    """Up to CLIPS_AT_ONCE clips: their sound (int16), prompts, and frames_FCHW (uint8, on the device)."""

    samples_NS: Tensor
    captions: list[str]
    frames: list[Tensor]


T = TypeVar("T")


def in_lots(items: Iterable[T]) -> Iterator[list[T]]:
    """Items in their order, CLIPS_AT_ONCE at a time."""
    left = iter(items)
    while lot := list(islice(left, CLIPS_AT_ONCE)):
        yield lot


def numbers_of(data: DrawnData, split: str, rank: int) -> range:
    """A rank's clips by number; a split that is not trained on has fewer."""
    count = data.clips if split == "train" else max(1, data.clips // HELD_OUT_SHARE)
    return range(rank * count, (rank + 1) * count)


def order_of(data: DrawnData, stream: StreamConfig, seed: int, split: str) -> Order:
    """The scripts that clips of these settings are drawn from."""
    step = stream.chunk_frames - stream.motion_frames
    return Order(seed, split, stream.motion_frames + step * data.chunks, data.speech)


def draw_lot(renderer: Renderer, data: DrawnData, parts: Sequence[Part]) -> Lot:
    """Scripts acted out before the data's camera."""
    characters = [nearer(part.character, data.nearest) for part in parts]
    actors = [who for who, part in zip(characters, parts, strict=True) for _ in part.poses_FP]
    poses = torch.from_numpy(np.concatenate([part.poses_FP for part in parts]))
    frames = renderer.frames(actors, poses, (data.height, data.width))
    samples = torch.from_numpy(np.stack([part.samples_S for part in parts]))
    return Lot(samples, [part.caption for part in parts], list(frames.split([len(part.poses_FP) for part in parts])))


def noise_of(seed: int, split: str, first: int, device: torch.device) -> torch.Generator:
    """Draws the rooms and disturbances of a lot whose first clip has the number `first`."""
    return Draws(seed).generator(first, 0, f"sound of {split}", 0, device)


@dataclass(frozen=True)
class Filler:
    """Networks and settings that turn lots into pools."""

    codec: LatentCodec
    encoder: AudioEncoder
    tokenizer: Tokenizer
    stream: StreamConfig
    picture_px: int
    text_tokens: int
    chunks: int
    voices: int

    @classmethod
    def open(cls, config: SftTraining | DmdTraining, device: torch.device) -> Filler:
        """With the codec and the audio encoder of `config.weights`. Raises CheckpointError."""
        data, model, weights = config.data, config.model, config.weights
        codec = get_module(model, "codec", device, weights=weights, required=True).requires_grad_(False)
        encoder = get_module(model, "audio_encoder", device, weights=weights, required=True).requires_grad_(False)
        assert isinstance(codec, LightCodec | WanVAE)
        assert isinstance(encoder, AudioEncoder)
        tokenizer = load_tokenizer(model.text_encoder, Path(weights) if weights else None)
        sizes = (model.image_encoder.image_size, model.dit.text_len)
        return cls(codec, encoder, tokenizer, config.stream, *sizes, data.chunks, data.voices)

    @torch.no_grad()
    def fill(self, lot: Lot, noise: torch.Generator) -> ClipPool:
        """The pool of a lot. `noise` is `noise_of` it."""
        device = noise.device
        seen = [self._look(frames) for frames in lot.frames]
        latents, references, pictures, lab = (torch.stack(list(parts)) for parts in zip(*seen, strict=True))
        ids, mask = token_ids(self.tokenizer, lot.captions, self.text_tokens)
        listener = Listener(lot.samples_NS.to(device), self.stream, Augment(AugmentConfig()))
        rows = self._listen(listener, len(lot.frames), noise)
        return ClipPool(latents, references, pictures, lab, rows, ids.to(device), mask.to(device))

    def _look(self, frames_FCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents and reference latents of each chunk, its first frame as the image tower gets it, its colours."""
        step, length = self.stream.chunk_frames - self.stream.motion_frames, self.stream.chunk_frames
        windows = torch.stack([frames_FCHW[step * k : step * k + length] for k in range(self.chunks)])
        pixels = windows.transpose(1, 2).float() / 127.5 - 1
        firsts = pixels[:, :, :1]
        latents = self.codec.encode(pixels)
        references = self.codec.encode(F.pad(firsts, (0, 0, 0, 0, 0, length - 1)))
        size = (self.picture_px, self.picture_px)
        pictures = F.interpolate(firsts[:, :, 0], size=size, mode="bicubic", align_corners=False)
        colours = [measure(first) for first in firsts]
        lab = torch.stack([torch.stack((colour.mean, colour.std)).view(2, 3) for colour in colours])
        return latents.bfloat16(), references.bfloat16(), pictures.bfloat16(), lab

    def _listen(self, listener: Listener, clips: int, noise: torch.Generator) -> Tensor:
        """rows_NKVFLD of all clips, each reading in another room."""
        step, length = self.stream.chunk_frames - self.stream.motion_frames, self.stream.chunk_frames
        shape, device = (clips, self.chunks, self.voices), noise.device
        clip = torch.arange(clips, device=device)[:, None, None].expand(shape).flatten()
        end = (step * torch.arange(self.chunks, device=device) + length)[None, :, None].expand(shape).flatten()
        context = round(self.stream.audio_context_s * self.stream.fps)
        rows = []
        for clip_B, end_B in zip(clip.split(CONTEXTS_AT_ONCE), end.split(CONTEXTS_AT_ONCE), strict=True):
            hidden = self.encoder(listener.hear(clip_B, end_B, noise), context)
            rows.append(hidden[:, -(length + AUDIO_REACH) :].bfloat16())
        return torch.cat(rows).unflatten(0, shape)
