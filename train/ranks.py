"""The processes of a training run: who this one is, which device it has, and what they do together.

Opened once by the command modules; one process without torchrun is a group of one, so that there is one path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from flashtalk.errors import ConfigError

SHARD, REPLICATE = "shard", "replicate"
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
MOST_IN_ONE_SHARD_GROUP = 16
"""Up to so many GPUs hold one copy of the weights together; beyond, each host holds its own (HSDP)."""


@dataclass(frozen=True)
class Ranks:
    """This process among `world` processes. `mesh` is [shard] or [replicate, shard]; use as a context manager."""

    rank: int
    world: int
    device: torch.device
    mesh: DeviceMesh

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, device: str = "auto", timeout_s: float = 1800.0
    ) -> Ranks:
        """Join the group that torchrun describes in `environment` (os.environ, read by the entry point), or be alone.

        device: auto (CUDA if there is one), cuda or cpu. timeout_s: how long a rank waits for the others before it
        gives up. Raises ConfigError.
        """
        given = [name for name in LAUNCHER if name in environment]
        if not given:
            return cls.join(0, 1, device=device, timeout_s=timeout_s)
        if len(given) < len(LAUNCHER):
            missing = ", ".join(sorted(set(LAUNCHER) - set(given)))
            raise ConfigError(f"{', '.join(given)} is set, but not {missing}: start through torchrun, or unset them")
        rank, world, local, local_world = (int(environment[name]) for name in LAUNCHER[:4])
        meet_at = f"tcp://{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}"
        return cls.join(
            rank, world, meet_at=meet_at, local_rank=local, shard_size=local_world, device=device, timeout_s=timeout_s
        )

    @classmethod
    def join(
        cls,
        rank: int,
        world: int,
        *,
        meet_at: str | None = None,
        local_rank: int = 0,
        shard_size: int | None = None,
        device: str = "auto",
        timeout_s: float = 1800.0,
    ) -> Ranks:
        """The same from plain numbers. meet_at: `tcp://host:port` or `file://path`, not needed by a lone process.

        shard_size: ranks of one host; they hold one copy of the weights if there are more than 16 ranks in all.
        """
        own = _own_device(device, local_rank)
        backend = "nccl" if own.type == "cuda" else "gloo"
        assert meet_at or world == 1, "many ranks need a place to meet"
        dist.init_process_group(
            backend,
            init_method=meet_at,
            store=None if meet_at else HashStore(),
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=timeout_s),
            device_id=own if own.type == "cuda" else None,
        )
        return cls(rank, world, own, _mesh(own, world, shard_size))

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes logs and exports."""
        return self.rank == 0

    @property
    def shard_rank(self) -> int:
        """Which piece of each weight this rank holds, 0..shard_count - 1."""
        return self.mesh.get_local_rank(SHARD)

    @property
    def shard_count(self) -> int:
        """In how many pieces each weight is cut."""
        return self.mesh[SHARD].size()

    @property
    def writes_shards(self) -> bool:
        """Whether this rank's pieces go to disk: copies of the weights beyond the first do not."""
        return self.mesh.ndim == 1 or self.mesh.get_local_rank(REPLICATE) == 0

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        dist.barrier()

    def all_mean(self, value: float | Tensor) -> float:
        """The mean over ranks of a number; all ranks must call it."""
        return self.all_means(torch.as_tensor(value).reshape(1))[0]

    def all_means(self, values_N: Tensor) -> list[float]:
        """The means over ranks of many numbers, in one exchange; all ranks must call it."""
        total_N = values_N.detach().to(self.device, torch.float64, copy=True)
        dist.all_reduce(total_N)
        return (total_N / self.world).tolist()

    def any_true(self, value: bool) -> bool:
        """Whether it is true on some rank."""
        return self.all_mean(float(value)) > 0

    def agree(self, value: object) -> None:
        """Debug check that all ranks hold the same value (k, j, bucket, seed), given as plain data.

        Raises AssertionError on every rank: ranks that draw differently run different numbers of forwards and hang.
        """
        text = json.dumps(value, sort_keys=True, default=str)
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
        mine = torch.tensor([number], device=self.device)
        every = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(every, mine)
        others = [rank for rank, other in enumerate(every) if other.item() != number]
        assert not others, f"rank {self.rank} holds {text[:200]}; ranks {others[:8]} hold something else"

    def close(self) -> None:
        """Leave the group."""
        if dist.is_initialized():
            dist.destroy_process_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own_device(device: str, local_rank: int) -> torch.device:
    if device not in ("auto", "cuda", "cpu"):
        raise ConfigError(f"device '{device}' is unknown; a training run takes auto, cuda or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise ConfigError(f"rank {local_rank} of this host needs a GPU of its own, and the host shows {count}")
    own = torch.device("cuda", local_rank)
    torch.cuda.set_device(own)
    return own


def _mesh(device: torch.device, world: int, shard_size: int | None) -> DeviceMesh:
    if world <= MOST_IN_ONE_SHARD_GROUP or not shard_size or shard_size == world:
        return init_device_mesh(device.type, (world,), mesh_dim_names=(SHARD,))
    if world % shard_size:
        raise ConfigError(f"{world} ranks cannot be split into hosts of {shard_size}: give every host as many")
    return init_device_mesh(device.type, (world // shard_size, shard_size), mesh_dim_names=(REPLICATE, SHARD))
