"""A rank's part in an engine that several processes run together. Called by build.py, engine.py and who starts ranks.

All ranks make the same calls with the same arguments in the same order, and all get the same results: there is no
protocol between them but the exchanges inside the networks.
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import AbstractContextManager, ExitStack, nullcontext
from types import TracebackType

import torch

from flashtalk.config import Config
from flashtalk.engine.device import pick_device
from flashtalk.models.image_encoder import ImageEncoder
from flashtalk.models.text_encoder import TextEncoder
from flashtalk.ops.attention import select_kernels
from flashtalk.parallel.encoders import ON_FIRST_RANK, FirstRankImage, FirstRankText
from flashtalk.parallel.groups import Place, Ranks
from flashtalk.parallel.sequence import parallelise_dit
from flashtalk.parallel.vae import RowCodec
from flashtalk.pipeline.networks import Networks


def join_ranks(config: Config, place: Place) -> Ranks:
    """Meet the other ranks of `config`; a context that leaves them. Raises ConfigError, WorkerLost."""
    return Ranks.join(place, rank_device(config.runtime.device, place.local_rank), config.parallel)


def rank_device(name: str, local_rank: int) -> torch.device:
    """This rank's own: `auto` and `cuda` are the GPU of its number on this host. Raises ConfigError."""
    device = pick_device(name)
    return pick_device(f"cuda:{local_rank}") if device.type == "cuda" else device


def holds_weights(component: str, ranks: Ranks | None) -> bool:
    """Whether this process needs the weights of a component."""
    return ranks is None or ranks.rank == 0 or component not in ON_FIRST_RANK


def parallelise(networks: Networks, config: Config, ranks: Ranks | None) -> Networks:
    """The networks as this rank's part of the group; as they are for a process that is alone. All ranks call it."""
    if ranks is None:
        return networks
    kernels = select_kernels(config.runtime.attention, networks.device, networks.dit.dtype)
    ranks.meet("weights")  # loading takes longer than a wait in the middle of work may
    parallelise_dit(networks.dit, ranks, config.parallel, kernels.own, kernels.cross)
    text, image = networks.text_encoder, networks.image_encoder
    assert isinstance(text, TextEncoder), "parallelised once"
    assert isinstance(image, ImageEncoder), "parallelised once"
    return dataclasses.replace(
        networks,
        codec=RowCodec(networks.codec, ranks.team) if config.parallel.split_codec else networks.codec,
        text_encoder=FirstRankText(text, ranks),
        image_encoder=FirstRankImage(image, ranks),
    )


class Turn:
    """One call at a time, as a lock; where ranks compute together, the loss of one is told as WorkerLost."""

    def __init__(self, ranks: Ranks | None) -> None:
        self._lock = threading.Lock()
        self._ranks = ranks
        self._held = ExitStack()

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            watch: AbstractContextManager[None] = self._ranks.watch() if self._ranks else nullcontext()
            self._held.enter_context(watch)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._held.__exit__(kind, error, trace)
        finally:
            self._lock.release()
