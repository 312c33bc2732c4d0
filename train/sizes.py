"""Pictures of several sizes beside each other, for small models: which are drawn, and which one an iteration takes.

Called by train/sft.py and train/dmd.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from train.config import DmdTraining, DrawnData, SftTraining
from train.data import draw_pool
from train.draws import Draws
from train.pool import ClipPool
from train.ranks import Ranks

Training = TypeVar("Training", SftTraining, DmdTraining)


def draw_pools(config: Training, ranks: Ranks) -> list[ClipPool]:
    """This rank's clips: of the main size, then of each other one."""
    return [draw_pool(one, ranks) for one in all_sizes(config)]


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


def size_of_turn(config: SftTraining | DmdTraining, draws: Draws, iteration: int) -> tuple[int, int]:
    """Which size this iteration takes (0: the main one), the same on all ranks, and its batch: of as many pixels."""
    batch, data = config.batch // config.accumulate, config.data
    if not isinstance(data, DrawnData):
        return 0, batch
    left = float(torch.rand((), generator=draws.generator(iteration, 0, "size", 0)))
    for place, size in enumerate(config.other_sizes, start=1):
        left -= size.share
        if left < 0:
            return place, max(1, round(batch * data.width * data.height / (size.width * size.height)))
    return 0, batch
