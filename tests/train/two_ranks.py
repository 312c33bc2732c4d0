"""Two processes that form a group (gloo, CPU) and run functions given by name; and what those functions share.

Started once for all tests of distributed training: a process that imports torch takes seconds.
"""

from __future__ import annotations

import importlib
import multiprocessing
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flashtalk.config import DiTConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.models.dit import DiT
from tests.conftest import build_tiny_config
from train.fsdp import ShardConfig, shard
from train.ranks import Ranks
from train.weights import draw_weights, fill_random

CPU = torch.device("cpu")
WORLD = 2
ANSWER_S = 120
Task = Callable[..., Any]


class Pair:
    """Two ranks that wait for work."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._starts = folder, 0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._starts += 1
        meet_at = f"file://{self._folder}/meet-{self._starts}"
        self.pipes: list[Connection] = []
        self.processes = []
        for rank in range(WORLD):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, meet_at), daemon=True)
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def run(self, task: Task, *args: Any) -> list[Any]:
        """task(ranks, *args) on both; gives both results. Fails with the trace of a rank that failed."""
        try:
            return self._answers(task, *args)
        except (EOFError, OSError):
            # Once in many runs the C library aborts a rank over its heap, which Python code cannot harm: not twice.
            self.close()
            self._start()
            return self._answers(task, *args)

    def _answers(self, task: Task, *args: Any) -> list[Any]:
        for pipe in self.pipes:
            pipe.send((task.__module__, task.__qualname__, args))
        assert all(pipe.poll(ANSWER_S) for pipe in self.pipes), "a rank does not answer"
        answers = [pipe.recv() for pipe in self.pipes]
        failed = "\n".join(text for good, text in answers if not good)
        assert not failed, failed
        return [result for _, result in answers]

    def close(self) -> None:
        for pipe in self.pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self.processes:
            process.join(10)
            process.kill()


def _serve(pipe: Connection, rank: int, meet_at: str) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    with Ranks.join(rank, WORLD, meet_at=meet_at, device="cpu", timeout_s=60) as ranks:
        while (order := pipe.recv()) is not None:
            module, name, args = order
            torch.manual_seed(rank)
            try:
                pipe.send((True, getattr(importlib.import_module(module), name)(ranks, *args)))
            except Exception:
                pipe.send((False, f"rank {rank}: {traceback.format_exc()}"))


@contextmanager
def alone() -> Iterator[Ranks]:
    """A group of one, in this process."""
    with Ranks.join(0, 1, device="cpu") as ranks:
        yield ranks


def tiny() -> DiTConfig:
    codec = LightCodecConfig(
        latent_channels=8,
        encoder_width=8,
        decoder_widths=(8, 8, 8, 8),
        encoder_blocks=(1, 1, 1),
        decoder_blocks=(1, 1, 1),
    )
    return build_tiny_config("tiny", codec).model.dit


def draw(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """As in training, but a head that is not zero: everything gets gradients from the first update on."""
    return draw_weights(name.replace("head.head", "head.any"), shape, generator)


def sharded(ranks: Ranks, seed: int = 0, *, trained: bool = True, **config: Any) -> DiT:
    """A tiny network in pieces, computing in float32 unless told otherwise."""
    with torch.device("meta"):
        dit = DiT(tiny()).requires_grad_(trained)
    shard(dit, ranks, ShardConfig(**{"compute": "float32", **config}))
    fill_random(dit, seed, CPU, draw)
    return dit


def plain(seed: int = 0, *, trained: bool = True) -> DiT:
    """The same network, whole."""
    with torch.device("meta"):
        dit = DiT(tiny()).requires_grad_(trained)
    fill_random(dit, seed, CPU, draw)
    return dit


def velocity(dit: DiT, sample: int, latents: Tensor | None = None, timestep: float = 700.0) -> Tensor:
    """One forward through all entries, inputs drawn from the number `sample`."""
    config, source = dit.config, torch.Generator().manual_seed(sample)

    def noise(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=source)

    own = noise(config.latent_channels, 3, 4, 4)
    reference = noise(config.latent_channels + config.temporal_stride, 3, 4, 4)
    text, picture = noise(5, config.text_dim), noise(7, config.image_dim)
    windows = noise(9, config.audio_window, config.audio_layers * config.audio_dim)
    time = dit.embed_time(torch.tensor([timestep]))
    positions = dit.positions(dit.grid(3, 4, 4), CPU)
    context, audio = dit.embed_context(text, picture), dit.embed_audio(windows)
    return dit(own if latents is None else latents, reference, time, positions, context, audio)


def loss_of(dit: DiT, sample: int) -> Tensor:
    target = torch.randn(1, 8, 3, 4, 4, generator=torch.Generator().manual_seed(1000 + sample))
    return (velocity(dit, sample) - target).square().mean()


def own_share(ranks: Ranks, samples: Iterable[int]) -> list[int]:
    """The samples of a global batch that are this rank's."""
    return [sample for i, sample in enumerate(samples) if i % ranks.world == ranks.rank]


def whole(tensor: Tensor) -> Tensor:
    full = getattr(tensor, "full_tensor", None)
    return (full() if full else tensor).detach().clone()


def weights_of(dit: DiT) -> dict[str, Tensor]:
    return {name: whole(tensor) for name, tensor in dit.state_dict().items()}
