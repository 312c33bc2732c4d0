"""Starts a rank as a process with a socket to it, and ends it. Sees the environment.

Called by group.py and nursery.py, through what client.py chose.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from flashtalk.serving.messages import Channel

RANKS_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: ranks share the cores with the app
    # Multicast over NVLink needs rights that containers seldom have, and fails late without them.
    "NCCL_NVLS_ENABLE": "0",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
}
"""What libraries read in a rank's process; whoever started the app may have set it otherwise."""

_PF_EXITING = 4
"""Of the flags in /proc/PID/stat: the kernel is taking the process apart."""
_LEAVE_S = 1.0
"""Time to leave by itself after its socket was closed; then it is killed."""


class Rank(Protocol):
    """Something that serves at the other end of a channel (worker.serve) once it is told to start."""

    channel: Channel

    def stop(self, *, at_once: bool) -> None:
        """Close the channel and wait until it is gone; `at_once` does not ask first."""


class ProcessRank:
    """A rank in a process of its own. The thread that makes it must live as long as it: it dies with that thread."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = start_child("flashtalk.serving.worker_process", theirs)
        self.channel = Channel(ours)

    def stop(self, *, at_once: bool) -> None:
        """See Rank."""
        self.channel.close()
        if not at_once:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE_S)
        self._process.kill()
        self._process.wait()


def start_child(module: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
    """`python -m module SOCKET PARENT`, which inherits this end of a socket and dies with the thread that calls."""
    return subprocess.Popen(
        [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
        env=child_environment(),
        start_new_session=True,
    )


def child_environment() -> dict[str, str]:
    """Ours, with the package on the path wherever it was found, and what RANKS_ENVIRONMENT says."""
    folder = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return {**RANKS_ENVIRONMENT, **os.environ, "PYTHONPATH": path}


def is_ending(process: int) -> bool:
    """Whether a process was killed or is gone. Its memory goes before its sockets close: with a GPU's, seconds."""
    if sys.platform != "linux":
        return False
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return state in ("Z", "X") or bool(int(numbers[5]) & _PF_EXITING)


@contextmanager
def meeting_place(world: int) -> Iterator[str]:
    """Place.meet_at for the ranks of one group: a file without a name that ends with us. Raises OSError.

    Each group has its own, so that what an earlier one left is never read. A port would have to be found free, which
    it may no longer be when it is used, and strangers could connect; a file with a name would outlive a kill.
    """
    if world == 1:
        yield ""
        return
    if sys.platform != "linux":
        raise OSError("several ranks (parallel.ranks) run on Linux only")
    file = os.memfd_create("ranks")
    try:
        yield f"file:///proc/{os.getpid()}/fd/{file}"
    finally:
        os.close(file)
