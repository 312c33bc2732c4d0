"""Clips drawn ahead by many processes are those that the run would have drawn itself."""

from __future__ import annotations

import ctypes.util
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from flashtalk.config import Config
from flashtalk.errors import ConfigError
from tests.train.two_ranks import alone
from train.config import DmdTraining, DrawnData, OtherSize, SftTraining, ShardData
from train.data import cache_file, draw_pool
from train.draw import draw_ahead, jobs_of
from train.lots import CLIPS_AT_ONCE
from train.pool import ClipPool
from train.sizes import get_clips
from train.stages import export, get_module

CPU = torch.device("cpu")
speaks = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")


def settings_of(config: Config, cache: Path, weights: str | None = None) -> SftTraining:
    """Nine clips of one chunk, two of another size, one to validate with."""
    data = DrawnData(clips=9, chunks=1, width=32, height=32, voices=2, workers=1, cache=str(cache))
    other = OtherSize(width=48, height=32, share=0.2)
    return SftTraining(model=config.model, stream=config.stream, data=data, other_sizes=(other,), weights=weights)


def clips_of(pool: ClipPool, count: int) -> list[torch.Tensor]:
    return [getattr(pool, f.name)[:count] for f in fields(pool)]


@speaks
def test_what_many_processes_draw_is_what_the_run_would_draw(tiny_config: Config, tmp_path: Path) -> None:
    with alone() as ranks:
        networks = {name: get_module(tiny_config.model, name, CPU) for name in ("codec", "audio_encoder")}
        export(tmp_path / "weights", networks, tiny_config.model, ranks, weights=None, source="test")
        ahead = settings_of(tiny_config, tmp_path / "ahead", str(tmp_path / "weights"))
        found = draw_ahead(ahead, ranks=1, processes=2, devices=["cpu"])
        alike = settings_of(tiny_config, tmp_path / "itself", ahead.weights)
        for split in ("train", "validation"):
            pair = [draw_pool(one, ranks, split) for one in (ahead, alike)]
            count = len(pair[0])
            assert all(map(torch.equal, clips_of(pair[0], count), clips_of(pair[1], count)))
        assert [len(pool) for pool in get_clips(ahead, ranks).pools] == [9, 2]
    assert sorted(found.values()) == [1, 2, 9]
    assert not list((tmp_path / "ahead").rglob("*.parts"))


def test_each_rank_and_size_has_its_own_clips_and_an_early_end_cuts_all_alike(tiny_config: Config) -> None:
    config = replace(settings_of(tiny_config, Path("cache")), other_sizes=(OtherSize(width=64, height=96, share=0.5),))
    config = replace(config, data=replace(config.data, clips=8 * CLIPS_AT_ONCE))
    jobs = jobs_of(config, ranks=2)
    files = {job.file for job in jobs}
    assert files >= {cache_file(config, split, rank) for split in ("train", "validation") for rank in (0, 1)}
    assert len(files) == 6
    for file in files:
        numbers = [number for job in jobs if job.file == file for number in job.numbers]
        assert len(set(numbers)) == len(numbers)
    half = [job for job in jobs if job.split == "train"][: len(jobs) // 2]
    drawn = [sum(len(job.numbers) for job in half if job.file == file) for file in files if "train" in file.name]
    assert max(drawn) <= 2 * min(drawn) + CLIPS_AT_ONCE


def test_a_student_has_no_clips_to_validate_with(tiny_config: Config) -> None:
    data = DrawnData(clips=4, cache="cache")
    assert {job.split for job in jobs_of(DmdTraining(model=tiny_config.model, data=data), ranks=1)} == {"train"}


@pytest.mark.parametrize("data", [DrawnData(), ShardData(folder="shards", cache="cache")])
def test_what_keeps_no_drawn_clips_cannot_be_drawn_ahead(tiny_config: Config, data: DrawnData | ShardData) -> None:
    with pytest.raises(ConfigError, match=r"give data\.cache"):
        jobs_of(SftTraining(model=tiny_config.model, data=data), ranks=1)
