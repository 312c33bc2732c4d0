"""One command run by several processes, one for each GPU: starts them, or finds out which of them this one is.

Called by cli.py. What torchrun sets is understood too; then it starts and ends the processes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flashtalk.errors import ConfigError, WorkerLost

if TYPE_CHECKING:
    from flashtalk.parallel.groups import Place

LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
PARENT = "FLASHTALK_PARENT"
LOOK_S = 0.1
LEAVE_S = 3.0
"""Time to leave after another rank was lost; then the rank is killed."""


def own_place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Which rank this process was started as; None if nobody started it as one. Raises ConfigError."""
    given = [name for name in LAUNCHER if name in environment]
    if not given:
        return None
    if len(given) < len(LAUNCHER):
        missing = ", ".join(sorted(set(LAUNCHER) - set(given)))
        raise ConfigError(f"{', '.join(given)} is set, but not {missing}: start through torchrun, or unset them")
    from flashtalk.serving.launch import RANKS_ENVIRONMENT  # noqa: PLC0415  only ranks need it

    for name, value in RANKS_ENVIRONMENT.items():
        os.environ.setdefault(name, value)  # libraries read these later, when they are loaded and the group is made
    if PARENT in environment:
        from flashtalk.serving.worker_process import die_with  # noqa: PLC0415  only ranks need it

        die_with(int(environment[PARENT]))
    from flashtalk.parallel.groups import Place  # noqa: PLC0415  it brings torch along

    rank, world, local_rank = (int(environment[name]) for name in LAUNCHER[:3])
    return Place(rank, world, local_rank, f"tcp://{environment['MASTER_ADDR']}:{environment['MASTER_PORT']}")


def run_ranks(count: int, arguments: Sequence[str]) -> None:
    """Run `flashtalk ARGUMENTS` in `count` processes and wait for all. Raises WorkerLost when one fails: all end."""
    port = _free_port()
    ranks = [_start(rank, count, port, arguments) for rank in range(count)]
    try:
        while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
            time.sleep(LOOK_S)
        lost = [f"rank {i} ended with status {rank.poll()}" for i, rank in enumerate(ranks) if rank.poll()]
    finally:
        _end(ranks)
    if lost:
        raise WorkerLost(f"{', '.join(lost)}; its own words are above", code="rank_lost")


def _start(rank: int, count: int, port: int, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    place = (rank, count, rank, "127.0.0.1", port)
    environment = {**os.environ, **dict(zip(LAUNCHER, map(str, place), strict=True)), PARENT: str(os.getpid())}
    return subprocess.Popen([sys.executable, "-m", "flashtalk", *arguments], env=environment)


def _end(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    latest = time.monotonic() + LEAVE_S
    for rank in ranks:
        with suppress(subprocess.TimeoutExpired):
            rank.wait(max(0.0, latest - time.monotonic()))
        rank.kill()
        rank.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
