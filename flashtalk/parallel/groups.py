"""A group of ranks: who this process is, how it meets the others, and how the loss of one is told.

Joined by engine/ranks.py; the modules beside it exchange tensors through its teams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed import rendezvous  # type: ignore[attr-defined]

from flashtalk.config_parallel import ParallelConfig
from flashtalk.errors import ConfigError, EngineError, FlashTalkError, WorkerLost

MOST_DIMENSIONS = 6
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class Place:
    """Which of `world` processes this one is. meet_at: `tcp://host:port` or `file:///path`, the same for all."""

    rank: int
    world: int
    local_rank: int
    meet_at: str


@dataclass(frozen=True)
class Team:
    """Ranks that exchange with each other: their number and this one's place among them. Alone, it has no group."""

    group: dist.ProcessGroup | None
    rank: int
    size: int


ALONE = Team(None, 0, 1)


class Ranks:
    """See the module's docstring. Made by `join`; a context that leaves the group."""

    def __init__(self, place: Place, device: torch.device, store: Store, config: ParallelConfig) -> None:
        self.rank, self.world, self.device = place.rank, place.world, device
        self.team = Team(dist.group.WORLD, place.rank, place.world)
        self._store = store
        self._start_s, self._timeout_s = config.start_s, config.timeout_s
        self._meetings = 0
        self._lost = False

    @classmethod
    def join(cls, place: Place, device: torch.device, config: ParallelConfig) -> Ranks:
        """Meet the others and form the group. A process is in one group at a time.

        Raises ConfigError if the places do not fit the config, WorkerLost (rank_missing) if a rank does not come
        within `start_s`.
        """
        if place.world != config.ranks or not 0 <= place.rank < place.world:
            raise ConfigError(f"parallel.ranks is {config.ranks}, but this is rank {place.rank} of {place.world}")
        backend = config.backend if config.backend != "auto" else ("nccl" if device.type == "cuda" else "gloo")
        if (backend == "nccl") != (device.type == "cuda"):
            raise ConfigError(f"parallel.backend {backend} does not exchange tensors on {device}; use auto")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        start = timedelta(seconds=config.start_s)
        with _missing_rank_as_error(f"{place.world} ranks at {place.meet_at}", config.start_s):
            store, *_ = next(rendezvous(place.meet_at, place.rank, place.world, timeout=start))
            _all_here(store, "start", place.rank, place.world, start)
            dist.init_process_group(
                backend,
                store=PrefixStore("group", store),
                rank=place.rank,
                world_size=place.world,
                timeout=timedelta(seconds=config.timeout_s),
                # xDiT makes groups of its own, which a group bound to its device does not allow.
                device_id=device if backend == "nccl" and config.exchange == "own" else None,
            )
        return cls(place, device, store, config)

    def meet(self, what: str) -> None:
        """Wait until all ranks are here, for as long as starting may take. Raises WorkerLost (rank_missing)."""
        self._meetings += 1
        with _missing_rank_as_error(what, self._start_s):
            self._all_here(f"{what} {self._meetings}")

    def teams(self, ulysses_degree: int) -> tuple[Team, Team]:
        """(Ulysses, ring): neighbours exchange heads, ranks of the same place in their neighbourhood form the ring."""
        ulysses = range(0, self.world, ulysses_degree)
        near = [list(range(start, start + ulysses_degree)) for start in ulysses]
        far = [list(range(start, self.world, ulysses_degree)) for start in range(ulysses_degree)]
        return self._team(near), self._team(far)

    def from_first(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives on rank 0, on all ranks; only rank 0 calls it. A wait for the device: not for the loop.

        Raises on all ranks what it raises: the others an EngineError (refused) in its place.
        """
        made: Tensor | Exception | None = None
        if self.rank == 0:
            try:
                made = make()
            except Exception as error:
                made = error
        header = self._told(_header(made)) if self.rank == 0 else self._told(None)
        if isinstance(made, Exception):
            raise made
        if header[0] < 0:
            raise EngineError("rank 0 could not take what it was given; its own error says why", code="refused")
        dtype, shape = DTYPES[header[1]], header[2 : 2 + header[0]]
        tensor = torch.empty(shape, dtype=dtype, device=self.device) if made is None else made.contiguous()
        dist.broadcast(tensor, src=0)
        return tensor

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Turns the loss of another rank in what runs inside into WorkerLost (rank_lost); the group ends with it.

        A dead rank is told by its connection at once (gloo), a silent one after `timeout_s`. NCCL cannot give control
        back from a wait on the device: its watchdog ends this process after `timeout_s`, and its parent sees that.
        """
        if self._lost:
            raise WorkerLost("a rank of this group was lost before: start the group anew", code="rank_lost")
        try:
            yield
        except FlashTalkError:
            raise
        except RuntimeError as error:
            if not _is_of_the_group(error):
                raise
            self._lost = True
            raise WorkerLost(
                f"rank {self.rank} of {self.world} lost another rank (it ended, or was silent for "
                f"{self._timeout_s:g} s): start the group anew",
                code="rank_lost",
            ) from error

    def close(self) -> None:
        """Leave the group; allowed any number of times. Compiled graphs that hold exchanges must be gone before."""
        if dist.is_initialized():
            dist.destroy_process_group()
        self._lost = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _team(self, members: list[list[int]]) -> Team:
        """This rank's among disjoint teams; every rank makes all of them, in the same order."""
        if len(members) == 1:
            return self.team
        own = next(ranks for ranks in members if self.rank in ranks)
        if len(own) == 1:
            return ALONE
        longest = timedelta(seconds=self._timeout_s)  # a new group has its own, of half an hour
        groups = {ranks[0]: dist.new_group(ranks, timeout=longest) for ranks in members}
        return Team(groups[own[0]], own.index(self.rank), len(own))

    def _told(self, header: list[int] | None) -> list[int]:
        numbers = torch.tensor(header or [0] * (2 + MOST_DIMENSIONS), device=self.device)
        dist.broadcast(numbers, src=0)
        return numbers.tolist()

    def _all_here(self, what: str) -> None:
        _all_here(self._store, what, self.rank, self.world, timedelta(seconds=self._start_s))


def _header(made: Tensor | Exception | None) -> list[int]:
    """Number of dimensions (-1: an error), data type and dimensions, in a fixed number of numbers."""
    if not isinstance(made, Tensor):
        return [-1] * (2 + MOST_DIMENSIONS)
    assert made.ndim <= MOST_DIMENSIONS, f"{made.ndim} dimensions"
    return [made.ndim, DTYPES.index(made.dtype), *made.shape, *[0] * (MOST_DIMENSIONS - made.ndim)]


def _all_here(store: Store, what: str, rank: int, world: int, longest: timedelta) -> None:
    store.set(f"{what}/{rank}", "here")
    store.wait([f"{what}/{other}" for other in range(world)], longest)


@contextmanager
def _missing_rank_as_error(what: str, longest_s: float) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of the store, or of the first handshake
        why = str(error).partition("\n")[0]
        raise WorkerLost(
            f"the ranks did not meet within {longest_s:g} s ({what}): {why}; see what the others said, and start the "
            "group anew",
            code="rank_missing",
        ) from error


def _is_of_the_group(error: RuntimeError) -> bool:
    """gloo raises plain RuntimeErrors, which name the file of gloo that they come from."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
