"""`python -m train.synthetic.write --out data --clips 100`: drawn talking clips as shards in `data/train/`.

Clip n depends on the seed, the split and its settings alone: not on the number of workers, shards or other clips. A run
that was stopped goes on; complete shards are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.errors import ConfigError, FlashTalkError, InputError
from train.clip import FPS, SPLITS
from train.config import SpeechConfig
from train.packing import FRAMES_FORMATS, FramesFormat
from train.shard_writer import ShardPlan, in_processes, write_shard, write_shards
from train.shards import Manifest, ShardRecord
from train.synthetic.clips import ClipMaker, Speech
from train.synthetic.render import SIZE_MULTIPLE, Renderer
from train.synthetic.sources import open_speech


@dataclass(frozen=True, kw_only=True)
class WriteConfig:
    """All that decides what is written. size_px: (height, width). crf: H.264 quality, 1 best, mp4 only."""

    clips: int = 100
    frames: int = 150
    size_px: tuple[int, int] = (256, 256)
    split: str = "train"
    seed: int = 0
    clips_per_shard: int = 100
    frames_format: FramesFormat = "mp4"
    crf: int = 16
    samples_per_axis: int = 2
    speech: SpeechConfig = field(default_factory=SpeechConfig)

    def __post_init__(self) -> None:
        checks = (
            (self.frames >= 1, f"clips of {self.frames} frames", "1 or more"),
            (min(self.size_px) >= SIZE_MULTIPLE, f"size {self.size_px}", f"multiples of {SIZE_MULTIPLE}"),
            (not any(side % SIZE_MULTIPLE for side in self.size_px), f"size {self.size_px}", "multiples of 16"),
            (self.split in SPLITS, f"split {self.split!r}", ", ".join(SPLITS)),
            (self.frames_format in FRAMES_FORMATS, f"frames {self.frames_format!r}", ", ".join(FRAMES_FORMATS)),
            (1 <= self.crf <= 51, f"crf {self.crf}", "1..51"),
        )
        for holds, given, allowed in checks:
            if not holds:
                raise ConfigError(f"{given} cannot be written; allowed: {allowed}", code="write")


def write_set(
    config: WriteConfig, out: Path, *, workers: int = 1, device: str = "cpu", speech: Speech | None = None
) -> Iterator[Manifest]:
    """Write what is missing in `out/split`; yields the manifest after every shard, first as it was found.

    speech: instead of the installed sources, for one worker only. Raises ConfigError, InputError.
    """
    if speech is not None and workers > 1:
        raise InputError("a speech source of one's own serves 1 worker", code="workers")
    plan = _plan(config, out)
    if speech is not None:
        maker = ClipMaker(config.seed, config.split, speech, frame_count=config.frames)
        renderer = Renderer(torch.device(device), samples_per_axis=config.samples_per_axis)
        return write_shards(plan, lambda shard: _write(config, plan, maker, renderer, shard), map)
    write = partial(_write_alone, config, out, device)
    return write_shards(plan, write, in_processes(workers))


def _plan(config: WriteConfig, out: Path) -> ShardPlan:
    return ShardPlan(
        folder=out / config.split,
        split=config.split,
        items=config.clips,
        items_per_shard=config.clips_per_shard,
        config=asdict(config),
    )


def _write_alone(config: WriteConfig, out: Path, device: str, shard: int) -> ShardRecord:
    return _write(config, _plan(config, out), *_tools(config, device), shard)


@lru_cache(maxsize=1)
def _tools(config: WriteConfig, device: str) -> tuple[ClipMaker, Renderer]:
    """What one process keeps from shard to shard."""
    maker = ClipMaker(config.seed, config.split, open_speech(config.speech), frame_count=config.frames)
    return maker, Renderer(torch.device(device), samples_per_axis=config.samples_per_axis)


def _write(config: WriteConfig, plan: ShardPlan, maker: ClipMaker, renderer: Renderer, shard: int) -> ShardRecord:
    clips = (maker.clip(number, renderer, config.size_px) for number in plan.numbers(shard))
    return write_shard(plan.path(shard), clips, config.frames_format, config.crf)


def parse_size(text: str) -> tuple[int, int]:
    """ "256x384", height before width, as (256, 384). Raises ConfigError."""
    with suppress(ValueError):
        height, width = map(int, text.lower().split("x"))
        return height, width
    raise ConfigError(f"size {text!r}; give height x width in pixels, such as 256x256", code="write")


def main(
    out: Annotated[Path, typer.Option(help="Folder; the split's name is added.")],
    clips: Annotated[int, typer.Option(min=1)] = 100,
    seconds: Annotated[float, typer.Option(min=0.04, help="Length of each clip.")] = 6.0,
    size: Annotated[str, typer.Option(help="Height x width in pixels.")] = "256x256",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    seed: int = 0,
    clips_per_shard: Annotated[int, typer.Option(min=1)] = 100,
    frames: Annotated[str, typer.Option(help="mp4 (small) or png (lossless).")] = "mp4",
    crf: Annotated[int, typer.Option(help="Quality of mp4, 1 best.")] = 16,
    samples_per_axis: Annotated[int, typer.Option(min=1, max=2, help="2: smoother edges.")] = 2,
    corpus: Annotated[str | None, typer.Option(help="Folder of recorded and synthesised speech.")] = None,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
) -> None:
    """Write drawn talking clips as shards; a run that was stopped goes on."""
    try:
        config = WriteConfig(
            clips=clips, frames=round(seconds * FPS), size_px=parse_size(size), split=split, seed=seed,
            clips_per_shard=clips_per_shard, frames_format=frames, crf=crf,  # type: ignore[arg-type]
            samples_per_axis=samples_per_axis, speech=SpeechConfig(corpus=corpus),
        )  # fmt: skip
        for manifest in write_set(config, out, workers=workers, device=device):
            typer.echo(json.dumps({"clips": manifest.clips, "of": clips, "folder": str(out / split)}))
    except FlashTalkError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_status) from None


if __name__ == "__main__":
    typer.run(main)
