"""Written sets: every size of pictures is learnt from, all ranks agree on them, and what cannot be is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flashtalk.config import Config
from flashtalk.errors import InputError
from tests.train.test_shards import clip
from tests.train.two_ranks import alone
from train.config import DmdTraining, RunConfig, SftTraining, ShardData
from train.dmd import train_dmd
from train.fsdp import ShardConfig
from train.sft import train_sft
from train.shard_writer import ShardPlan, write_shard, write_shards
from train.shown import Group, groups_of
from train.sizes import get_clips
from train.stages import export, get_module

CPU = torch.device("cpu")
LONG = 33
"""Frames of at least a clip of one chunk of the tiny model's, whose streams are those of the paper."""
SQUARE, WIDE, ODD = (64, 64), (64, 96), (72, 64)
PLAIN = ShardConfig(placement="replicate", compute="float32", checkpointing=False)


def write(folder: Path, split: str, clips: list[tuple[tuple[int, int], int]]) -> None:
    """A set of (height and width, frames)."""
    plan = ShardPlan(folder=folder / split, split=split, items=len(clips), items_per_shard=3, config={})

    def one(shard: int) -> object:
        numbers = plan.numbers(shard)
        made = (clip(n, frames=clips[n][1], size=clips[n][0], split=split, poses_FP=None) for n in numbers)
        return write_shard(plan.path(shard), made, "png", 16)

    list(write_shards(plan, one, map))


def settings(config: Config, folder: Path, **changes: object) -> SftTraining:
    data = ShardData(folder=str(folder), clips=8, chunks=1, voices=1)
    run = RunConfig(out=str(folder / "sft"), iterations=6, log_every=1, validate_every=6)
    given = SftTraining(model=config.model, stream=config.stream, shard=PLAIN, data=data, run=run, batch=2)
    return replace(given, **changes)


def weights(config: Config, folder: Path) -> str:
    with alone() as ranks:
        networks = {name: get_module(config.model, name, CPU) for name in ("codec", "audio_encoder")}
        export(folder, networks, config.model, ranks, weights=None, source="test")
    return str(folder)


def test_clips_are_grouped_by_size_the_most_frequent_first(tiny_config: Config, tmp_path: Path) -> None:
    write(tmp_path, "train", [(WIDE, LONG), (SQUARE, LONG), (SQUARE, 3), (SQUARE, LONG), (WIDE, 4), (SQUARE, LONG)])
    config = settings(tiny_config, tmp_path)
    assert groups_of(config, 1, "train") == [Group(*SQUARE, (1, 3, 5)), Group(*WIDE, (0,))]
    few = replace(config, data=replace(config.data, clips=1))
    assert groups_of(few, 2, "train") == [Group(*SQUARE, (1,)), Group(*WIDE, (0,))], "a clip for each of two ranks"


def test_ranks_share_out_the_clips_and_none_is_without() -> None:
    group = Group(*SQUARE, (1, 4, 5, 9, 11))
    dealt = [group.of_rank(rank, 3) for rank in range(3)]
    assert sorted(sum(dealt, ())) == [1, 4, 5, 9, 11]
    assert [group.of_rank(rank, 7) for rank in range(7)] == [(1,), (4,), (5,), (9,), (11,), (1,), (4,)]


def test_what_cannot_be_learnt_from_is_said(tiny_config: Config, tmp_path: Path) -> None:
    write(tmp_path / "short", "train", [(SQUARE, 3)])
    with pytest.raises(InputError, match="write longer clips") as error:
        groups_of(settings(tiny_config, tmp_path / "short"), 1, "train")
    assert error.value.code == "no_clips"
    write(tmp_path / "odd", "train", [(SQUARE, LONG), (ODD, LONG)])
    with pytest.raises(InputError, match="64x72 pixels; this model makes multiples of") as error:
        groups_of(settings(tiny_config, tmp_path / "odd"), 1, "train")
    assert error.value.code == "clip_size"


def test_teacher_and_student_learn_from_every_size(tiny_config: Config, tmp_path: Path) -> None:
    write(tmp_path, "train", [(SQUARE, LONG), (WIDE, LONG), (SQUARE, LONG), (WIDE, LONG), (SQUARE, LONG)])
    write(tmp_path, "validation", [(WIDE, LONG), (SQUARE, LONG), (SQUARE, LONG)])
    config = settings(tiny_config, tmp_path, weights=weights(tiny_config, tmp_path / "start"))
    config = replace(config, data=replace(config.data, cache=str(tmp_path / "cache")))
    with alone() as ranks:
        clips = get_clips(config, ranks)
        assert [len(pool) for pool in clips.pools] == [3, 2]
        cell = tiny_config.model.codec.spatial_stride
        sizes = [tuple(cell * n for n in pool.latents_NKCTHW.shape[-2:]) for pool in clips.pools]
        assert sizes == [SQUARE, WIDE]
        assert [turn.share for turn in clips.turns] == [0.6, 0.4]
        teacher = train_sft(config, ranks)
        run = replace(config.run, out=str(tmp_path / "dmd"))
        trained = DmdTraining(model=config.model, stream=config.stream, shard=PLAIN, data=config.data, run=run, batch=1)
        student = train_dmd(replace(trained, weights=str(teacher), most_chunks=1, steps=(2,)), ranks)
        assert (student / "model.yaml").is_file()
        kept = {file.parent.name.split("-")[0] for file in (tmp_path / "cache").rglob("train-000.safetensors")}
        assert kept == {"64x64", "96x64"}
        fewer = replace(config, data=replace(config.data, clips=1))
        assert [len(pool) for pool in get_clips(fewer, ranks).pools] == [1], "what is kept is of other clips"
