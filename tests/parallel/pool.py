"""A few processes that form groups (gloo on a CPU, NCCL on GPUs) and run functions given by name.

Started once for all tests: a process that imports torch takes seconds, joining a group takes a moment.
"""

from __future__ import annotations

import importlib
import multiprocessing
import traceback
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from flashtalk.config_parallel import ParallelConfig
from flashtalk.parallel.groups import Place, Ranks

ANSWER_S = 240
Task = Callable[..., Any]


class Pool:
    """`most` processes that wait for work; any number of them may form a group."""

    def __init__(self, most: int, folder: Path, device: str = "cpu") -> None:
        self._folder, self._groups = folder, 0
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.processes = []
        for _ in range(most):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, device), daemon=True)
            process.start()
            self.pipes.append(here)
            self.processes.append(process)

    def run(self, world: int, task: Task, *args: Any, **config: Any) -> list[Any]:
        """task(ranks, *args) on `world` ranks of a new group; the results of all. Fails with the traces of failures."""
        self.start(world, task, *args, **config)
        return self.answers(range(world))

    def start(self, world: int, task: Task, *args: Any, **config: Any) -> None:
        """The same without waiting for what it gives."""
        self._groups += 1
        meet_at = f"file://{self._folder}/meet-{self._groups}"
        for rank, pipe in enumerate(self.pipes[:world]):
            place = Place(rank, world, rank, meet_at)
            parallel = ParallelConfig(**{"ranks": world, "timeout_s": 60.0, "start_s": 120.0, **config})
            pipe.send((task.__module__, task.__qualname__, place, parallel, args))

    def answers(self, ranks: Iterable[int]) -> list[Any]:
        """What these ranks gave."""
        assert all(self.pipes[rank].poll(ANSWER_S) for rank in ranks), "a rank does not answer"
        answers = [self.pipes[rank].recv() for rank in ranks]
        failed = "\n".join(text for good, text in answers if not good)
        assert not failed, failed
        return [result for _, result in answers]

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.kill()
            process.join()


def _serve(pipe: Connection, device: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error" if device == "cpu" else "default")  # NCCL and drivers have their own
    while True:
        try:
            module, name, place, parallel, args = pipe.recv()
        except EOFError:
            return
        try:
            own = torch.device(device, place.local_rank) if device == "cuda" else torch.device(device)
            torch.manual_seed(place.rank)
            with Ranks.join(place, own, parallel) as ranks, torch.inference_mode():
                pipe.send((True, getattr(importlib.import_module(module), name)(ranks, *args)))
        except Exception:
            pipe.send((False, f"rank {place.rank}: {traceback.format_exc()}"))
