"""`python -m train.footage.write --dataset talkvid --lists FILE --media FOLDER --out data`: footage as shards.

The same shards as train/synthetic/write, without poses. Records that make no clip are counted by reason and named in
`shard-00000.left-out.json`. A run that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from flashtalk.errors import FlashTalkError, InputError
from train.buckets import make_buckets
from train.clip import Clip
from train.footage.filters import Limits
from train.footage.read import FootageReader, MediaFolder
from train.footage.records import FootageRecord
from train.footage.speakervid import read_speakervid
from train.footage.splits import split_records
from train.footage.talkvid import read_talkvid
from train.shard_writer import ShardPlan, in_processes, write_shard, write_shards
from train.shards import Manifest, ShardRecord

Dataset = Literal["talkvid", "speakervid", "speakervid-sft"]


@dataclass(frozen=True, kw_only=True)
class FootageConfig:
    """All that decides what is written. most_tokens, token_px: of the aspect-ratio buckets, see train/buckets."""

    dataset: Dataset
    lists: str
    media: str
    split: str = "train"
    seed: int = 0
    most_tokens: int = 1352
    token_px: int = 16
    most_s: float = 12.0
    records_per_shard: int = 200
    crf: int = 14
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class _Source:
    """What one process keeps: the records of the split, in the order of their keys, and how to read them."""

    records: tuple[FootageRecord, ...]
    reader: FootageReader
    problems: tuple[str, ...]


def write_footage(config: FootageConfig, out: Path, *, workers: int = 1) -> Iterator[Manifest]:
    """Write what is missing in `out/split`; yields the manifest after every shard. Raises InputError."""
    plan = _plan(config, out)
    return write_shards(plan, partial(_write, config, out), in_processes(workers))


def _plan(config: FootageConfig, out: Path) -> ShardPlan:
    records = _source(config).records
    if not records:
        message = f"the lists hold no usable record for the split {config.split!r}; see {config.lists}"
        raise InputError(message, code="footage_list")
    return ShardPlan(
        folder=out / config.split,
        split=config.split,
        items=len(records),
        items_per_shard=config.records_per_shard,
        config=asdict(config),
    )


@lru_cache(maxsize=1)
def _source(config: FootageConfig) -> _Source:
    problems: list[str] = []
    lists = Path(config.lists)
    if config.dataset == "talkvid":
        records = list(read_talkvid(lists, problems))
    else:
        records = list(read_speakervid(lists, sft=config.dataset == "speakervid-sft", problems=problems))
    splits = split_records(records, config.seed)
    buckets = make_buckets(config.most_tokens, config.token_px)
    reader = FootageReader(MediaFolder.scan(Path(config.media)), splits, buckets, config.limits, config.most_s)
    mine = sorted((one for one in records if splits[one.key] == config.split), key=lambda record: record.key)
    return _Source(tuple(mine), reader, tuple(problems))


def _write(config: FootageConfig, out: Path, shard: int) -> ShardRecord:
    source, plan = _source(config), _plan(config, out)
    left_out: dict[str, str] = {}
    records = (source.records[number] for number in plan.numbers(shard))
    record = write_shard(plan.path(shard), _clips(source.reader, records, left_out), "mp4", config.crf)
    told = json.dumps(left_out, indent=1, sort_keys=True)
    plan.path(shard).with_suffix(".left-out.json").write_text(told, encoding="utf-8")
    return record


def _clips(reader: FootageReader, records: Iterator[FootageRecord], left_out: dict[str, str]) -> Iterator[Clip]:
    for record in records:
        try:
            yield reader.read(record)
        except InputError as error:
            left_out[record.key] = f"{error.code}: {error}"


def main(
    dataset: Annotated[str, typer.Option(help="talkvid, speakervid or speakervid-sft.")],
    lists: Annotated[Path, typer.Option(help="TalkVid's JSON file, or SpeakerVid-5M's folder.")],
    media: Annotated[Path, typer.Option(help="Folder of the downloaded videos or clips.")],
    out: Annotated[Path, typer.Option(help="Folder; the split's name is added.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    seed: int = 0,
    most_tokens: Annotated[int, typer.Option(help="Tokens of a latent frame at most.")] = 1352,
    token_px: Annotated[int, typer.Option(help="Pixels of a token's side.")] = 16,
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Write real footage as shards; a run that was stopped goes on."""
    try:
        if dataset not in ("talkvid", "speakervid", "speakervid-sft"):
            raise InputError(f"no data set {dataset!r}; give talkvid, speakervid or speakervid-sft", code="dataset")
        config = FootageConfig(
            dataset=dataset, lists=str(lists), media=str(media), split=split, seed=seed,  # type: ignore[arg-type]
            most_tokens=most_tokens, token_px=token_px,
        )  # fmt: skip
        for problem in _source(config).problems:
            typer.echo(problem, err=True)
        for manifest in write_footage(config, out, workers=workers):
            typer.echo(json.dumps({"clips": manifest.clips, "records": manifest.items, "folder": str(out / split)}))
    except FlashTalkError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_status) from None


if __name__ == "__main__":
    typer.run(main)
