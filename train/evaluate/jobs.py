"""Which films are made, and by whom: one process a film, as many at once as `workers` says. Called by the command.

Drawings come before the films that are compared with them, long films before all; speed is measured when all is still.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, ProcessPoolExecutor, wait
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from flashtalk.config_file import to_tree
from flashtalk.errors import WorkerLost
from train.evaluate.config import EvaluationConfig
from train.evaluate.long_run import LONG, film_long
from train.evaluate.parts import Job, digest, load_part, save_part
from train.evaluate.scenes import CODEC, SPEED, film_scene
from train.evaluate.scores import Numbers
from train.evaluate.sounds import HUMAN, QUIET
from train.evaluate.studio import SPEECH, Studio, judge_fingerprint

TRUTH = "truth"
Tell = Callable[[Numbers], None]
_STUDIOS: list[Studio] = []
"""The one of this worker process."""


def plan_jobs(config: EvaluationConfig, *, humans: bool) -> list[Job]:
    """All films, variant by variant of each character, so that its drawing is at hand; long ones first."""
    films, names = config.films, [variant.name for variant in config.variants]
    longest = config.long.characters if config.long.seconds else 0
    jobs = [Job(LONG, i, one.name) for one in config.variants if one.long for i in range(longest)]
    for i in range(films.characters):
        kinds = [SPEECH, CODEC, *([HUMAN] if humans else []), *(QUIET if i < films.quiet_characters else ())]
        jobs += [Job(kind, i, name) for kind in kinds for name in names]
    return jobs + ([Job(SPEED, 0, name) for name in names] if films.speed_seconds else [])


def keys_of(config: EvaluationConfig, jobs: Sequence[Job], weights: Mapping[str, str]) -> dict[Job, str]:
    """What each film is made from; `weights`: variant -> fingerprint."""
    films = {name: value for name, value in to_tree(config.films).items() if "characters" not in name}
    common = [films, to_tree(config.stream), config.precision, config.samples_per_axis, judge_fingerprint(config)]
    common.append([str(config.speech), str(config.model)])
    variants = {
        one.name: digest([{**to_tree(one), "checkpoint": "", "decoder": ""}, weights[one.name], common])
        for one in config.variants
    }
    return {job: variants[job.variant] + (f" {config.long.seconds}" if job.kind == LONG else "") for job in jobs}


def make_films(config: EvaluationConfig, keys: Mapping[Job, str], devices: Sequence[torch.device], tell: Tell) -> None:
    """Make and save what is not there yet; `tell` hears of every film as it is done. Raises FlashTalkError."""
    folder = parts_folder(config)
    missing = [job for job, key in keys.items() if not (config.resume and load_part(folder, job, key))]
    if beside := [job for job in missing if job.kind != SPEED]:
        for row in _beside(config, beside, keys, devices):
            tell(row)
    alone = [job for job in missing if job.kind == SPEED]
    studio = Studio(config, devices[0]) if alone else None
    for job in alone:
        assert studio is not None
        tell(make_one(studio, job, keys[job]))


def make_one(studio: Studio, job: Job, key: str) -> Numbers:
    """One film or drawing, saved; its numbers (none of a drawing)."""
    if job.kind == TRUTH:
        studio.draw_truths(job.subject)
        return {}
    part = film_long(studio, job) if job.kind == LONG else film_scene(studio, job)
    save_part(parts_folder(studio.config), part, key)
    return part.row


def parts_folder(config: EvaluationConfig) -> Path:
    """Where films are kept."""
    return Path(config.out) / "parts"


def _beside(
    config: EvaluationConfig, jobs: Sequence[Job], keys: Mapping[Job, str], devices: Sequence[torch.device]
) -> Iterator[Numbers]:
    """Rows as films are done, in this process or in several, in turn on the devices."""
    cores = len(os.sched_getaffinity(0))
    count = min(config.workers, cores if devices[0].type == "cpu" else config.workers) * len(devices)
    if count == 1:
        studio = Studio(config, devices[0])
        for job in jobs:
            if job.kind != LONG:
                studio.draw_truths(job.subject)
            yield make_one(studio, job, keys[job])
        return
    context = multiprocessing.get_context("spawn")
    places: SimpleQueue[str] = context.SimpleQueue()
    for number in range(count):
        places.put(str(devices[number % len(devices)]))
    with ProcessPoolExecutor(count, context, initializer=_open, initargs=(config, places, cores // count)) as pool:
        try:
            yield from _spread(pool, jobs, keys)
        except BrokenExecutor as error:
            message = "a worker was ended from outside (memory?); run again, with fewer: films that are done stay"
            raise WorkerLost(message) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _spread(pool: Executor, jobs: Sequence[Job], keys: Mapping[Job, str]) -> Iterator[Numbers]:
    """A film waits for its character's drawing, if it is compared with one."""
    later: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.kind != LONG:
            later[job.subject].append(job)
    first = [job for job in jobs if job.kind == LONG] + [Job(TRUTH, subject) for subject in later]
    running = {pool.submit(_work, job, keys.get(job, "")): job for job in first}
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            job, row = running.pop(future), future.result()
            if job.kind != TRUTH:
                yield row
                continue
            running |= {pool.submit(_work, film, keys[film]): film for film in later[job.subject]}


def _open(config: EvaluationConfig, places: SimpleQueue[str], threads: int) -> None:
    torch.set_num_threads(max(1, threads))
    _STUDIOS[:] = [Studio(config, torch.device(places.get()))]


def _work(job: Job, key: str) -> Numbers:
    return make_one(_STUDIOS[0], job, key)
