"""Writes clips as shards: each tar file appears in one step when it is complete, and a run that was stopped goes on.

Called by train/synthetic/write and train/footage/write. Not for two writers of one folder at once.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from flashtalk.errors import InputError
from flashtalk.media.part_file import plain_errors, sync_folder
from train.clip import Clip
from train.packing import FramesFormat, pack
from train.shards import MANIFEST, Manifest, ShardRecord, file_sha256, list_shard, read_manifest

WriteShard = Callable[[int], ShardRecord]
RunAll = Callable[[WriteShard, Sequence[int]], Iterable[ShardRecord]]
"""run(write, numbers) yields the record of each shard as it is done, in any order."""


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """`items` clips (or records that may make one) into tar files of `items_per_shard`.

    config: all that decides what is in them, fit for JSON.
    """

    folder: Path
    split: str
    items: int
    items_per_shard: int
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.items < 1 or self.items_per_shard < 1:
            message = f"{self.items} clips in shards of {self.items_per_shard}; give 1 or more of both"
            raise InputError(message, code="clips")

    @property
    def shards(self) -> int:
        """How many tar files."""
        return -(-self.items // self.items_per_shard)

    def numbers(self, shard: int) -> range:
        """Items of a shard."""
        first = shard * self.items_per_shard
        return range(first, min(first + self.items_per_shard, self.items))

    def path(self, shard: int) -> Path:
        """Its file."""
        return self.folder / f"shard-{shard:05d}.tar"


def write_shards(plan: ShardPlan, write: WriteShard, run_all: RunAll) -> Iterator[Manifest]:
    """Write what is missing of a plan; yields the manifest as it grows, first as it was found.

    Raises InputError(manifest_differs) if the folder was begun with another config, and what `write` raises.
    """
    with plain_errors(plan.folder.name):
        plan.folder.mkdir(parents=True, exist_ok=True)
    records = _found(plan)
    manifest = _saved(plan, records)
    yield manifest
    missing = [number for number in range(plan.shards) if plan.path(number).name not in records]
    for record in run_all(write, missing):
        records[record.file] = record
        manifest = _saved(plan, records)
        yield manifest


def in_processes(workers: int) -> RunAll:
    """Shards by several processes, in the order in which they are done; by this one if `workers` is 1."""
    return map if workers <= 1 else partial(_spread, workers)


def _spread(workers: int, write: WriteShard, numbers: Sequence[int]) -> Iterable[ShardRecord]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        jobs = [pool.submit(write, number) for number in numbers]
        try:
            yield from (job.result() for job in as_completed(jobs))
        finally:
            pool.shutdown(cancel_futures=True)


def write_shard(path: Path, clips: Iterable[Clip], frames_format: FramesFormat, crf: int) -> ShardRecord:
    """One tar file, complete or not there at all. The same clips give the same bytes."""
    part, count = path.with_suffix(".part"), 0
    with plain_errors(path.name), part.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for clip in clips:
                for name, content in pack(clip, frames_format, crf).items():
                    _add(tar, name, content)
                count += 1
        file.flush()
        os.fsync(file.fileno())
    record = ShardRecord(path.name, count, part.stat().st_size, file_sha256(part))
    part.replace(path)
    sync_folder(path.parent)
    return record


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))


def _found(plan: ShardPlan) -> dict[str, ShardRecord]:
    """Complete shards by name. One that the manifest does not know was finished just before a stop: it counts too."""
    before: dict[str, ShardRecord] = {}
    if (plan.folder / MANIFEST).exists():
        manifest = read_manifest(plan.folder)
        if replace(manifest, shards=()) != replace(_empty(plan), config=json.loads(json.dumps(plan.config))):
            message = f"{plan.folder} was begun with other settings; choose another folder, or delete it"
            raise InputError(message, code="manifest_differs")
        before = {record.file: record for record in manifest.shards}
    elif any(plan.path(number).exists() for number in range(plan.shards)):
        message = f"{plan.folder} holds shards without {MANIFEST}; choose another folder, or delete it"
        raise InputError(message, code="manifest_differs")
    found = {}
    for number in range(plan.shards):
        path = plan.path(number)
        if path.exists() and (record := _checked(path, before.get(path.name))):
            found[record.file] = record
    return found


def _checked(path: Path, record: ShardRecord | None) -> ShardRecord | None:
    """The record of a file that is whole, else None: it is written again."""
    try:
        clips = len(list_shard(path))
    except InputError:
        return None
    if record is None:
        return ShardRecord(path.name, clips, path.stat().st_size, file_sha256(path))
    return record if (record.clips, record.bytes) == (clips, path.stat().st_size) else None


def _empty(plan: ShardPlan) -> Manifest:
    return Manifest(plan.split, plan.items, plan.items_per_shard, plan.config)


def _saved(plan: ShardPlan, records: Mapping[str, ShardRecord]) -> Manifest:
    manifest = replace(_empty(plan), shards=tuple(records[name] for name in sorted(records)))
    part = plan.folder / f"{MANIFEST}.part"
    with plain_errors(MANIFEST):
        part.write_text(manifest.to_json(), encoding="utf-8")
        part.replace(plan.folder / MANIFEST)
        sync_folder(plan.folder)
    return manifest
