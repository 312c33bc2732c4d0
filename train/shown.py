"""Clips of a written set as a run learns from them, by picture size: footage has many (train/buckets; paper 3.2).

Called by train/sizes. All ranks read the same list and deal it out alike, so that they agree without a word.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from flashtalk.config import StreamConfig
from flashtalk.errors import InputError
from train.config import DmdTraining, SftTraining, ShardData
from train.data import kept_pool
from train.lots import Filler, Lot, in_lots, noise_of
from train.pool import ClipPool
from train.ranks import Ranks
from train.shards import ClipShards


@dataclass(frozen=True)
class Group:
    """Positions of the clips of one picture size, of all ranks together."""

    height: int
    width: int
    positions: tuple[int, ...]

    def of_rank(self, rank: int, world: int) -> tuple[int, ...]:
        """Every `world`-th clip; where there are fewer clips than ranks, some ranks have the same one."""
        return self.positions[rank::world] or (self.positions[rank % len(self.positions)],)


def groups_of(config: SftTraining | DmdTraining, world: int, split: str) -> list[Group]:
    """The first `data.clips` of each rank that are long enough, by size, the most frequent first.

    Raises InputError: no_clips, clip_size (a size that the networks cannot make), and those of ClipShards.
    """
    data = _shards_of(config)
    shards, length = ClipShards(data.folder, split), _frames_of(data, config.stream)
    found: dict[tuple[int, int], list[int]] = {}
    for position in _long_enough(shards, length, data.clips * world):
        height, width = shards.description(position)["size_px"]
        found.setdefault((height, width), []).append(position)
    if not found:
        message = (
            f"no clip of {data.folder}/{split} has the {length} frames of {data.chunks} chunks; write longer clips, "
            "or set data.chunks lower"
        )
        raise InputError(message, code="no_clips")
    for size in found:
        _check_size(config, *size)
    groups = [Group(*size, tuple(positions)) for size, positions in found.items()]
    return sorted(groups, key=lambda group: (-len(group.positions), group.height, group.width))


def read_pools(config: SftTraining | DmdTraining, ranks: Ranks, split: str, groups: list[Group]) -> list[ClipPool]:
    """This rank's clips of each group: from the cache, or read and kept there.

    The networks that make the pools are opened once, if one is to be made, and let go again.
    """
    shards = ClipShards(_shards_of(config).folder, split)
    filler = cache(partial(Filler.open, config, ranks.device))
    return [
        kept_pool(
            _cached(config, ranks.world, shards, group),
            ranks,
            split,
            partial(_read, config, ranks, shards, group, filler),
        )
        for group in groups
    ]


def _read(
    config: SftTraining | DmdTraining, ranks: Ranks, shards: ClipShards, group: Group, get_filler: Callable[[], Filler]
) -> ClipPool:
    filler = get_filler()
    length, split, pools = _frames_of(_shards_of(config), config.stream), shards.manifest.split, []
    for positions in in_lots(group.of_rank(ranks.rank, ranks.world)):
        noise = noise_of(config.run.seed, split, positions[0], ranks.device)
        pools.append(filler.fill(_lot(shards, positions, length, config.stream, ranks.device), noise))
    return ClipPool.join(pools)


def _lot(shards: ClipShards, positions: list[int], length: int, stream: StreamConfig, device: torch.device) -> Lot:
    """Those clips, cut to `length` frames."""
    clips = [shards[position] for position in positions]
    samples = np.stack([clip.samples[: length * stream.samples_per_frame] for clip in clips])
    integers = torch.from_numpy((samples * 32767).round().astype(np.int16))
    frames = [torch.from_numpy(clip.frames_FHWC[:length]).permute(0, 3, 1, 2).to(device) for clip in clips]
    return Lot(integers, [clip.caption for clip in clips], frames)


def _long_enough(shards: ClipShards, length: int, most: int) -> Iterator[int]:
    found = 0
    for position in range(len(shards)):
        if found == most:
            return
        if shards.description(position)["frames"] >= length:
            found += 1
            yield position


def _frames_of(data: ShardData, stream: StreamConfig) -> int:
    """Of a clip of `data.chunks` chunks."""
    return stream.motion_frames + (stream.chunk_frames - stream.motion_frames) * data.chunks


def _check_size(config: SftTraining | DmdTraining, height: int, width: int) -> None:
    _, patch_h, patch_w = config.model.dit.patch_size
    cell = config.model.codec.spatial_stride
    if height % (cell * patch_h) or width % (cell * patch_w):
        message = (
            f"{_shards_of(config).folder} holds clips of {width}x{height} pixels; this model makes multiples of "
            f"{cell * patch_w}x{cell * patch_h}: write the set again in such sizes"
        )
        raise InputError(message, code="clip_size")


def _cached(
    config: SftTraining | DmdTraining, world: int, shards: ClipShards, group: Group
) -> SftTraining | DmdTraining:
    """With a cache of its own for these clips, so dealt and cut: another set, or more ranks, finds nothing there."""
    data = _shards_of(config)
    if not data.cache:
        return config
    written = [shard.sha256 for shard in shards.manifest.shards]
    dealt = json.dumps([written, group.positions, world, data.chunks, data.voices])
    name = f"{group.width}x{group.height}-{hashlib.sha256(dealt.encode()).hexdigest()[:12]}"
    return replace(config, data=replace(data, cache=str(Path(data.cache) / name)))


def _shards_of(config: SftTraining | DmdTraining) -> ShardData:
    assert isinstance(config.data, ShardData)
    return config.data
