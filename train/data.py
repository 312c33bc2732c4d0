"""Fills the device with what a stage learns from, before its first iteration. Called by the trainers.

Drawn data needs no disk: scripts come from worker processes, pictures are drawn here and encoded at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.models.audio_encoder import AudioEncoder
from flashtalk.models.light_codec import LightCodec
from flashtalk.models.text_encoder import load_tokenizer
from flashtalk.models.vae import WanVAE
from flashtalk.pipeline.colour import measure
from flashtalk.types import LatentCodec
from train.clip import Clip
from train.config import DmdTraining, DrawnData, SftTraining, ShardData
from train.draws import Draws
from train.encoders import token_ids
from train.pool import AUDIO_REACH, ClipPool
from train.ranks import Ranks
from train.scripts import Order, Part, write_parts
from train.shards import ClipShards
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
class Speech:
    """Sound of N clips and what is known of it: samples int16, poses, phoneme classes, whether a recorded voice speaks;
    all on the device."""

    samples_NS: Tensor
    poses_NFP: Tensor
    phonemes_NF: Tensor
    recorded_N: Tensor


def draw_speech(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> Speech:
    """This rank's speech without pictures."""
    parts = _parts(data, stream, ranks, seed, split)
    samples = torch.from_numpy(np.stack([part.samples_S for part in parts]))
    poses = torch.from_numpy(np.stack([part.poses_FP for part in parts]))
    phonemes = torch.from_numpy(np.stack([part.phonemes_F for part in parts])).long()
    recorded = torch.tensor([part.recorded for part in parts])
    return Speech(*(tensor.to(ranks.device) for tensor in (samples, poses, phonemes, recorded)))


def draw_frames(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> Tensor:
    """This rank's pictures: uint8 frames_NFCHW on the device."""
    parts = _parts(data, stream, ranks, seed, split)
    return torch.cat([torch.stack(group) for group in _drawn(data, ranks, parts)])


def draw_pool(config: SftTraining | DmdTraining, ranks: Ranks, split: str = "train") -> ClipPool:
    """This rank's clips as latents, audio rows and prompts: from the cache, or made and kept there."""
    if config.data.cache is None:
        return _fill_pool(config, ranks, split)
    file = Path(config.data.cache) / f"{split}-{ranks.rank:03}.safetensors"
    if file.is_file():
        return ClipPool.load(file, ranks.device)
    pool = _fill_pool(config, ranks, split)
    pool.save(file)
    return pool


def _fill_pool(config: SftTraining | DmdTraining, ranks: Ranks, split: str) -> ClipPool:
    """The networks that make the pool are let go again."""
    data, model, device = config.data, config.model, ranks.device
    codec = get_module(model, "codec", device, weights=config.weights, required=True).requires_grad_(False)
    encoder = get_module(model, "audio_encoder", device, weights=config.weights, required=True).requires_grad_(False)
    assert isinstance(codec, LightCodec | WanVAE)
    assert isinstance(encoder, AudioEncoder)
    tokenizer = load_tokenizer(model.text_encoder, Path(config.weights) if config.weights else None)
    source = _shown(data, config, ranks, split) if isinstance(data, ShardData) else _acted(data, config, ranks, split)
    listener = Listener(source.samples_NS.to(device), config.stream, Augment(AugmentConfig()))
    filler = _Filler(codec, encoder, listener, config.stream, model.image_encoder.image_size, data.chunks, data.voices)
    noise = Draws(config.run.seed).generator(0, 0, f"sound of {split}", ranks.rank, device)
    pools, first = [], 0
    for group in source.frames:
        ids, mask = token_ids(tokenizer, source.captions[first : first + len(group)], model.dit.text_len)
        pools.append(filler.fill(group, first, ids.to(device), mask.to(device), noise))
        first += len(group)
    return ClipPool.join(pools)


@dataclass(frozen=True)
class _Source:
    """N clips: all their sound and prompts, and their frames [F, 3, H, W] in groups, made as they are asked for."""

    samples_NS: Tensor
    captions: list[str]
    frames: Iterator[list[Tensor]]


@dataclass(frozen=True)
class _Filler:
    codec: LatentCodec
    encoder: AudioEncoder
    listener: Listener
    stream: StreamConfig
    picture_px: int
    chunks: int
    voices: int

    @torch.no_grad()
    def fill(
        self, clips: Sequence[Tensor], first: int, ids_NL: Tensor, mask_NL: Tensor, noise: torch.Generator
    ) -> ClipPool:
        """Clips `first`, first + 1, ... of the source."""
        seen = [self._look(frames) for frames in clips]
        latents, references, pictures, lab = (torch.stack(list(parts)) for parts in zip(*seen, strict=True))
        numbers = torch.arange(first, first + len(clips), device=ids_NL.device)
        return ClipPool(latents, references, pictures, lab, self._listen(numbers, noise), ids_NL, mask_NL)

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

    def _listen(self, clip_N: Tensor, noise: torch.Generator) -> Tensor:
        """rows_NKVFLD of these clips, each reading in another room."""
        step, length = self.stream.chunk_frames - self.stream.motion_frames, self.stream.chunk_frames
        shape = (len(clip_N), self.chunks, self.voices)
        clip = clip_N[:, None, None].expand(shape).flatten()
        end = (step * torch.arange(self.chunks, device=clip.device) + length)[None, :, None].expand(shape).flatten()
        context = round(self.stream.audio_context_s * self.stream.fps)
        rows = []
        for clip_B, end_B in zip(clip.split(CONTEXTS_AT_ONCE), end.split(CONTEXTS_AT_ONCE), strict=True):
            hidden = self.encoder(self.listener.hear(clip_B, end_B, noise), context)
            rows.append(hidden[:, -(length + AUDIO_REACH) :].bfloat16())
        return torch.cat(rows).unflatten(0, shape)


def _parts(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> list[Part]:
    """This rank's scripts; a split that is not trained on has fewer."""
    count = data.clips if split == "train" else max(1, data.clips // HELD_OUT_SHARE)
    step = stream.chunk_frames - stream.motion_frames
    order = Order(seed, split, stream.motion_frames + step * data.chunks, data.speech)
    return list(write_parts(order, range(ranks.rank * count, (ranks.rank + 1) * count), data.workers))


def _acted(data: DrawnData, config: SftTraining | DmdTraining, ranks: Ranks, split: str) -> _Source:
    parts = _parts(data, config.stream, ranks, config.run.seed, split)
    samples = torch.from_numpy(np.stack([part.samples_S for part in parts]))
    return _Source(samples, [part.caption for part in parts], _drawn(data, ranks, parts))


def _drawn(data: DrawnData, ranks: Ranks, parts: Sequence[Part]) -> Iterator[list[Tensor]]:
    renderer = Renderer(ranks.device, compiled=data.compiled, samples_per_axis=data.samples_per_axis)
    for first in range(0, len(parts), CLIPS_AT_ONCE):
        group = parts[first : first + CLIPS_AT_ONCE]
        characters = [nearer(part.character, data.nearest) for part in group]
        actors = [who for who, part in zip(characters, group, strict=True) for _ in part.poses_FP]
        poses = torch.from_numpy(np.concatenate([part.poses_FP for part in group]))
        frames = renderer.frames(actors, poses, (data.height, data.width))
        yield list(frames.split([len(part.poses_FP) for part in group]))


def _shown(data: ShardData, config: SftTraining | DmdTraining, ranks: Ranks, split: str) -> _Source:
    """Every `world`-th clip of the shards that is long enough, cut to `data.chunks` chunks."""
    stream = config.stream
    length = stream.motion_frames + (stream.chunk_frames - stream.motion_frames) * data.chunks
    clips: list[Clip] = []
    for _, clip in ClipShards(data.folder, split).clips(ranks.rank, step=ranks.world):
        if len(clip.frames_FHWC) >= length:
            clips.append(clip)
        if len(clips) == data.clips:
            break
    samples = np.stack([clip.samples[: length * stream.samples_per_frame] for clip in clips])
    frames = (torch.from_numpy(clip.frames_FHWC[:length]).permute(0, 3, 1, 2).to(ranks.device) for clip in clips)
    integers = torch.from_numpy((samples * 32767).round().astype(np.int16))
    return _Source(integers, [clip.caption for clip in clips], ([one] for one in frames))
