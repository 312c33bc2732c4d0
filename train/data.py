"""Fills the device with what a stage learns from, before its first iteration. Called by the trainers.

Drawn data needs no disk: scripts come from worker processes, pictures are drawn here and encoded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flashtalk.config import StreamConfig
from train.config import DmdTraining, DrawnData, SftTraining
from train.lots import CLIPS_AT_ONCE, Filler, Lot, draw_lot, in_lots, noise_of, numbers_of, order_of
from train.pool import ClipPool
from train.ranks import Ranks
from train.scripts import Part, write_parts
from train.synthetic.render import Renderer


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
    parts = list(_parts(data, stream, ranks, seed, split))
    samples = torch.from_numpy(np.stack([part.samples_S for part in parts]))
    poses = torch.from_numpy(np.stack([part.poses_FP for part in parts]))
    phonemes = torch.from_numpy(np.stack([part.phonemes_F for part in parts])).long()
    recorded = torch.tensor([part.recorded for part in parts])
    return Speech(*(tensor.to(ranks.device) for tensor in (samples, poses, phonemes, recorded)))


def draw_frames(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> Tensor:
    """This rank's pictures: uint8 frames_NFCHW on the device."""
    return torch.cat([torch.stack(lot.frames) for lot in _acted(data, stream, ranks, seed, split)])


def draw_pool(config: SftTraining | DmdTraining, ranks: Ranks, split: str = "train") -> ClipPool:
    """This rank's drawn clips as latents, audio rows and prompts: from the cache, or made and kept there."""
    return kept_pool(config, ranks, split, lambda: _draw_pool(config, ranks, split))


def kept_pool(config: SftTraining | DmdTraining, ranks: Ranks, split: str, make: Callable[[], ClipPool]) -> ClipPool:
    """What the cache has, or what `make` makes, which is then kept there."""
    file = cache_file(config, split, ranks.rank)
    if file is None:
        return make()
    if file.is_file():
        return ClipPool.load(file, ranks.device)
    pool = make()
    pool.save(file)
    return pool


def cache_file(config: SftTraining | DmdTraining, split: str, rank: int) -> Path | None:
    """Where a rank keeps its pool, if it does."""
    return Path(config.data.cache) / f"{split}-{rank:03}.safetensors" if config.data.cache else None


def _draw_pool(config: SftTraining | DmdTraining, ranks: Ranks, split: str) -> ClipPool:
    """The networks that make the pool are let go again."""
    data, filler = config.data, Filler.open(config, ranks.device)
    assert isinstance(data, DrawnData)
    places = count(numbers_of(data, split, ranks.rank).start, CLIPS_AT_ONCE)
    noises = (noise_of(config.run.seed, split, place, ranks.device) for place in places)
    lots = _acted(data, config.stream, ranks, config.run.seed, split)
    return ClipPool.join([filler.fill(lot, noise) for lot, noise in zip(lots, noises, strict=False)])


def _parts(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> Iterator[Part]:
    return write_parts(order_of(data, stream, seed, split), numbers_of(data, split, ranks.rank), data.workers)


def _acted(data: DrawnData, stream: StreamConfig, ranks: Ranks, seed: int, split: str) -> Iterator[Lot]:
    renderer = Renderer(ranks.device, compiled=data.compiled, samples_per_axis=data.samples_per_axis)
    for parts in in_lots(_parts(data, stream, ranks, seed, split)):
        yield draw_lot(renderer, data, parts)
