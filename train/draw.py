"""Fills the cache that a run starts from, by many processes: one renderer keeps one core busy, and a GPU a tenth.

    python -m train.draw sft sft-small-again --ranks 2 --processes 8 --device cuda:0 --device cuda:1

The files are those that the run would make itself (train/data.draw_pool). A drawing that was stopped goes on.
"""

from __future__ import annotations

import multiprocessing
import queue
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Annotated

import torch
import typer

from flashtalk.errors import ConfigError, FlashTalkError
from train.config import DmdTraining, DrawnData, SftTraining, load_train_config
from train.data import cache_file
from train.launch import Settings, command, overrides_of
from train.lots import Filler, draw_lot, in_lots, noise_of, numbers_of, order_of
from train.pool import ClipPool
from train.scripts import Part, write_part
from train.sizes import all_sizes
from train.synthetic.render import Renderer

JOINED_AT_ONCE = 8
DRAWERS_DIED = "a process that draws ended by itself; its own words are above. What is drawn is kept: start again"


@dataclass(frozen=True)
class Job:
    """A lot of a cache's file. share: how much of the file is done with it."""

    config: SftTraining | DmdTraining
    split: str
    file: Path
    numbers: range
    share: float

    @property
    def data(self) -> DrawnData:
        """What is drawn."""
        assert isinstance(self.config.data, DrawnData)
        return self.config.data

    @property
    def part(self) -> Path:
        """Where the lot lies until its file is whole."""
        return self.file.with_suffix(".parts") / f"{self.numbers.start:07}.safetensors"


STAGES: dict[str, type[SftTraining] | type[DmdTraining]] = {"sft": SftTraining, "dmd": DmdTraining}
Written = tuple[Job, list[Part]]


def jobs_of(config: SftTraining | DmdTraining, ranks: int) -> list[Job]:
    """All lots of a run of so many ranks, those of all files evenly spread: an early end cuts them alike."""
    if not isinstance(config.data, DrawnData) or config.data.cache is None:
        raise ConfigError("only drawn data with a cache can be drawn ahead; give data.cache a folder")
    sets: list[tuple[SftTraining | DmdTraining, str]]
    if isinstance(config, SftTraining):
        sets = [(config, "validation"), *((one, "train") for one in all_sizes(config))]
    else:
        sets = [(one, "train") for one in all_sizes(config)]
    jobs = [job for one, split in sets for rank in range(ranks) for job in _of_file(one, split, rank)]
    return sorted(jobs, key=lambda job: job.share)


def _of_file(config: SftTraining | DmdTraining, split: str, rank: int) -> Iterator[Job]:
    file = cache_file(config, split, rank)
    assert file is not None
    assert isinstance(config.data, DrawnData)
    numbers = numbers_of(config.data, split, rank)
    for lot in in_lots(numbers):
        own = range(lot[0], lot[-1] + 1)
        yield Job(config, split, file, own, (own.stop - numbers.start) / len(numbers))


def draw_ahead(
    config: SftTraining | DmdTraining, ranks: int, processes: int, devices: Sequence[str], limit_s: float | None = None
) -> dict[Path, int]:
    """Draw what is missing of the cache, for at most `limit_s`; gives the clips of each file.

    processes: on each device. Raises ConfigError, CheckpointError, and FlashTalkError if a process dies.
    """
    ends_s = float("inf") if limit_s is None else time.monotonic() + limit_s
    jobs = [job for job in jobs_of(config, ranks) if not job.file.is_file()]
    missing = [job for job in jobs if not job.part.is_file()]
    if missing:
        _draw_all(config, missing, [device for _ in range(processes) for device in devices], ends_s)
    files = sorted({job.file for job in jobs})
    with ThreadPoolExecutor(JOINED_AT_ONCE) as threads:
        return dict(zip(files, threads.map(_joined, files), strict=True))


def _draw_all(config: SftTraining | DmdTraining, jobs: Sequence[Job], devices: Sequence[str], ends_s: float) -> None:
    assert isinstance(config.data, DrawnData)
    spawn = multiprocessing.get_context("spawn")
    tasks: Queue[Written | None] = spawn.Queue(maxsize=2 * len(devices))
    compiled = spawn.Event()
    drawers = [spawn.Process(target=_draw, args=(config, device, tasks, compiled), daemon=True) for device in devices]
    drawers[0].start()
    with ProcessPoolExecutor(config.data.workers, spawn, initializer=torch.set_num_threads, initargs=(1,)) as writers:
        scripts = deque(writers.submit(_write, job) for job in jobs)
        _feed(tasks, scripts, drawers, compiled, ends_s)
        writers.shutdown(wait=False, cancel_futures=True)
    _finish(tasks, drawers)


def _feed(
    tasks: Queue[Written | None],
    scripts: deque[Future[Written]],
    drawers: Sequence[SpawnProcess],
    compiled: Event,
    ends_s: float,
) -> None:
    """Scripts to drawers until there are none, or time is over."""
    while scripts:
        written, given = scripts.popleft().result(), False
        while not given:
            if time.monotonic() >= ends_s:
                return
            _start_others(drawers, compiled)
            given = _put(tasks, written)


def _start_others(drawers: Sequence[SpawnProcess], compiled: Event) -> None:
    """All but the first, once its kernels are in the compiler's cache; together they would all compile the same."""
    if any(one.exitcode for one in drawers):
        raise FlashTalkError(DRAWERS_DIED)
    if compiled.is_set() and drawers[-1].pid is None:
        for drawer in drawers[1:]:
            drawer.start()


def _put(tasks: Queue[Written | None], written: Written | None) -> bool:
    try:
        tasks.put(written, timeout=0.5)
    except queue.Full:
        return False
    return True


def _finish(tasks: Queue[Written | None], drawers: Sequence[SpawnProcess]) -> None:
    """Let all that run come to their end."""
    running = [one for one in drawers if one.pid is not None]
    for _ in running:
        while not _put(tasks, None):
            if all(one.exitcode for one in running):
                raise FlashTalkError(DRAWERS_DIED)
    for one in running:
        one.join()
    if any(one.exitcode for one in running):
        raise FlashTalkError(DRAWERS_DIED)


def _write(job: Job) -> Written:
    order = order_of(job.data, job.config.stream, job.config.run.seed, job.split)
    return job, [write_part(order, number) for number in job.numbers]


def _draw(config: SftTraining | DmdTraining, device: str, tasks: Queue[Written | None], compiled: Event) -> None:
    """A process: lots of any size until there are none."""
    torch.set_num_threads(1)
    own = torch.device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    assert isinstance(config.data, DrawnData)
    renderer = Renderer(own, compiled=config.data.compiled, samples_per_axis=config.data.samples_per_axis)
    filler = Filler.open(config, own)
    while (task := tasks.get()) is not None:
        job, parts = task
        noise = noise_of(job.config.run.seed, job.split, job.numbers.start, own)
        filler.fill(draw_lot(renderer, job.data, parts), noise).save(job.part)
        compiled.set()


def _joined(file: Path) -> int:
    """The clips of a file, made of the parts that there are."""
    parts = sorted(file.with_suffix(".parts").glob("*.safetensors"))
    if not parts:
        return 0
    pool = ClipPool.join([ClipPool.load(part, torch.device("cpu")) for part in parts])
    pool.save(file)
    shutil.rmtree(file.with_suffix(".parts"))
    return len(pool)


@command
def main(
    stage: Annotated[str, typer.Argument(help="sft or dmd: whose config it is")],
    config: str,
    ranks: Annotated[int, typer.Option(min=1, help="of the run that will learn")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="on each device")] = 1,
    device: Annotated[list[str] | None, typer.Option(help="cpu, cuda:0, cuda:1, any number of times")] = None,
    limit_s: Annotated[float | None, typer.Option(help="what is drawn by then is what the run learns from")] = None,
    settings: Settings = None,
) -> None:
    """Draw what a run of CONFIG learns from, ahead of it."""
    if stage not in STAGES:
        raise ConfigError(f"there is no stage '{stage}' that learns from pools; give {' or '.join(STAGES)}")
    loaded = load_train_config(STAGES[stage], config, overrides_of(settings))
    devices = device or ["cuda:0" if torch.cuda.is_available() else "cpu"]
    for file, clips in draw_ahead(loaded, ranks, processes, devices, limit_s).items():
        typer.echo(f"{file}: {clips} clips")


if __name__ == "__main__":
    typer.run(main)
