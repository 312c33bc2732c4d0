"""Clips back from shards: `folder/split/manifest.json` and the tar files that it lists. Called by train/data and by
anything that looks at a written set; train/shard_writer writes them.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from flashtalk.errors import InputError
from train.clip import SPLITS, Clip
from train.packing import damaged, unpack

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ShardRecord:
    """One tar file: how many clips and bytes it holds, and its SHA-256."""

    file: str
    clips: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards is: how it was made (`config`, fit for JSON) and its complete shards in order."""

    split: str
    items: int
    """Clips asked for, or records of footage looked at, of which some make no clip."""
    items_per_shard: int
    config: Mapping[str, Any]
    shards: tuple[ShardRecord, ...] = field(default_factory=tuple)

    @property
    def clips(self) -> int:
        """Clips written so far."""
        return sum(shard.clips for shard in self.shards)

    @property
    def complete(self) -> bool:
        """Whether every shard is written."""
        return len(self.shards) == -(-self.items // self.items_per_shard)

    def to_json(self) -> str:
        """Stable text."""
        return (
            json.dumps({"format": FORMAT, **asdict(self), "complete": self.complete}, indent=1, sort_keys=True) + "\n"
        )


def read_manifest(folder: Path) -> Manifest:
    """The manifest in this folder (`.../train`). Raises InputError(manifest_missing, manifest_damaged)."""
    path = folder / MANIFEST
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        shards = tuple(ShardRecord(**shard) for shard in tree["shards"])
        sizes = int(tree["items"]), max(1, int(tree["items_per_shard"]))
        manifest = Manifest(str(tree["split"]), *sizes, dict(tree["config"]), shards)
        known = tree["format"] == FORMAT and manifest.split in SPLITS and all(_plain(shard) for shard in shards)
    except FileNotFoundError:
        message = f"{folder} holds no {MANIFEST}; give a folder that was written as shards, or write it first"
        raise InputError(message, code="manifest_missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad_manifest(path, f"{type(error).__name__}: {error}") from error
    if not known:
        raise _bad_manifest(path, f"format {tree['format']!r}, split {manifest.split!r}")
    return manifest


def file_sha256(path: Path) -> str:
    """Of a file's bytes, as hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ClipShards:
    """The clips of one split, by position 0 .. len - 1. Reading is from any thread; nothing is kept open.

    verify: compare every shard's SHA-256 first (reads everything). Raises InputError(manifest_missing,
    manifest_damaged, split, shards_incomplete, shard_missing, shard_damaged, clip_damaged).
    """

    def __init__(self, folder: str | Path, split: str, *, verify: bool = False) -> None:
        self._folder = Path(folder) / split
        self.manifest = read_manifest(self._folder)
        self._check_split(split)
        self._starts = list(accumulate((shard.clips for shard in self.manifest.shards), initial=0))
        self._members: dict[int, list[dict[str, tuple[int, int]]]] = {}
        for shard in self.manifest.shards:
            self._check_shard(shard, verify=verify)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, position: int) -> Clip:
        number, key, members = self._located(position)
        clip = unpack(self._read(number, members), key)
        if clip.split != self.manifest.split:
            message = f"clip {clip.key} in {self._folder} belongs to the split {clip.split!r}; write the set again"
            raise InputError(message, code="split")
        return clip

    def description(self, position: int) -> dict[str, Any]:
        """A clip's own words (frames, size_px, caption, details, ...), read without its pictures and sound."""
        number, key, members = self._located(position)
        name = f"{key}.json"
        try:
            return dict(json.loads(self._read(number, {name: members[name]})[name]))
        except ValueError as error:
            raise damaged(key, str(error)) from error

    def clips(self, start: int = 0, *, step: int = 1) -> Iterator[tuple[int, Clip]]:
        """(position, clip) for start, start + step, ...: rank r of n reads (r, n); go on with the position after."""
        for position in range(start, len(self), step):
            yield position, self[position]

    def _located(self, position: int) -> tuple[int, str, dict[str, tuple[int, int]]]:
        """(shard, key, files) of a clip."""
        if not 0 <= position < len(self):
            raise IndexError(f"clip {position} of {len(self)}")
        number = bisect_right(self._starts, position) - 1
        members = self._listed(number)[position - self._starts[number]]
        return number, next(iter(members)).removesuffix(".json"), members

    def _check_split(self, split: str) -> None:
        if self.manifest.split != split:
            message = f"{self._folder} holds the split {self.manifest.split!r}, not {split!r}; never mix them"
            raise InputError(message, code="split")
        if not self.manifest.complete:
            message = f"{self._folder} is not complete; run the command that writes it again, it goes on where it was"
            raise InputError(message, code="shards_incomplete")

    def _check_shard(self, shard: ShardRecord, *, verify: bool) -> None:
        path = self._folder / shard.file
        if not path.is_file():
            raise InputError(f"{path} is missing; write the set again, or copy it whole", code="shard_missing")
        if path.stat().st_size != shard.bytes or (verify and file_sha256(path) != shard.sha256):
            raise bad_shard(path, "its size or checksum is not the manifest's")

    def _listed(self, number: int) -> list[dict[str, tuple[int, int]]]:
        """For each clip of a shard: file name -> (offset, size), its description first."""
        if number not in self._members:
            shard = self.manifest.shards[number]
            members = list_shard(self._folder / shard.file)
            if len(members) != shard.clips:
                raise bad_shard(self._folder / shard.file, f"{len(members)} clips instead of {shard.clips}")
            self._members[number] = members
        return self._members[number]

    def _read(self, number: int, members: Mapping[str, tuple[int, int]]) -> dict[str, bytes]:
        path = self._folder / self.manifest.shards[number].file
        contents = {}
        try:
            with path.open("rb") as file:
                for name, (offset, size) in members.items():
                    file.seek(offset)
                    contents[name] = file.read(size)
        except OSError as error:
            raise bad_shard(path, str(error)) from error
        return contents


def list_shard(path: Path) -> list[dict[str, tuple[int, int]]]:
    """Where every clip's files lie in a tar: file name -> (offset, size). Raises InputError(shard_damaged)."""
    clips: list[dict[str, tuple[int, int]]] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.name.endswith(".json"):
                    clips.append({})
                if not clips or not member.isreg():
                    raise bad_shard(path, f"it holds {member.name!r}")
                clips[-1][member.name] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise bad_shard(path, str(error)) from error
    return clips


def bad_shard(path: Path, reason: str) -> InputError:
    """The error for a tar file that is not what was written."""
    return InputError(f"{path} is damaged ({reason}); delete it and run its command again", code="shard_damaged")


def _plain(shard: ShardRecord) -> bool:
    """A name inside the folder and sane numbers."""
    return shard.file == Path(shard.file).name and shard.clips >= 0 and shard.bytes > 0


def _bad_manifest(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged ({reason}); write the set again", code="manifest_damaged")
