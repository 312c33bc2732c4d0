"""Pictures of several sizes beside each other: which there are, and which one an iteration learns from.

Drawn clips have those of `other_sizes`, for small models; a written set has those that it was written with
(train/shown). Called by train/sft.py and train/dmd.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from train.config import DmdTraining, DrawnData, SftTraining
from train.data import draw_pool
from train.draws import Draws
from train.pool import ClipPool
from train.ranks import Ranks
from train.shown import groups_of, read_pools

Training = TypeVar("Training", SftTraining, DmdTraining)


@dataclass(frozen=True)
class Clips:
    """What a run learns from: this rank's clips of each size, the main one first."""

    pools: tuple[ClipPool, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Turn:
    """Of one size. share: of the iterations that learn from it; batch: clips of an accumulation step."""

    share: float
    batch: int


def get_clips(config: Training, ranks: Ranks) -> Clips:
    """Drawn, read, or from the cache. Raises InputError."""
    if isinstance(config.data, DrawnData):
        return Clips(tuple(draw_pool(one, ranks) for one in all_sizes(config)), drawn_turns(config))
    groups = groups_of(config, ranks.world, "train")
    clips, batch = sum(len(group.positions) for group in groups), config.batch // config.accumulate
    turns = tuple(Turn(len(group.positions) / clips, batch) for group in groups)
    return Clips(tuple(read_pools(config, ranks, "train", groups)), turns)


def get_held_out(config: SftTraining, ranks: Ranks) -> ClipPool:
    """Clips of the validation split, of the main size: of a written set the most frequent one. Raises InputError."""
    if isinstance(config.data, DrawnData):
        return draw_pool(config, ranks, "validation")
    return read_pools(config, ranks, "validation", groups_of(config, ranks.world, "validation")[:1])[0]


def all_sizes(config: Training) -> list[Training]:
    """The config of each size's clips, the main one first."""
    return [config] + [in_size(config, number) for number in range(len(config.other_sizes))]


def in_size(config: Training, number: int) -> Training:
    """The config that draws the clips of another size: other characters, as many as its share says."""
    data, size = config.data, config.other_sizes[number]
    assert isinstance(data, DrawnData)
    clips = max(1, round(data.clips * size.share))
    cache = str(Path(data.cache) / f"{size.width}x{size.height}") if data.cache else None
    drawn = replace(data, width=size.width, height=size.height, clips=clips, nearest=size.nearest, cache=cache)
    return replace(config, other_sizes=(), data=drawn, run=replace(config.run, seed=config.run.seed + 1 + number))


def drawn_turns(config: SftTraining | DmdTraining) -> tuple[Turn, ...]:
    """Of drawn clips: batches of as many pixels."""
    batch, data = config.batch // config.accumulate, config.data
    assert isinstance(data, DrawnData)
    pixels, sizes = batch * data.width * data.height, config.other_sizes
    others = [Turn(size.share, max(1, round(pixels / (size.width * size.height)))) for size in sizes]
    return Turn(1 - sum(size.share for size in sizes), batch), *others


def size_of_turn(turns: Sequence[Turn], draws: Draws, iteration: int) -> tuple[int, int]:
    """Which size this iteration takes (0: the main one), the same on all ranks, and its batch."""
    left = float(torch.rand((), generator=draws.generator(iteration, 0, "size", 0)))
    for place, turn in enumerate(turns[1:], start=1):
        left -= turn.share
        if left < 0:
            return place, turn.batch
    return 0, turns[0].batch
