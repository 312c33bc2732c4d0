"""Starts a rank as a process with a socket to it, and ends it. Called by group.py; sees the environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from flashtalk.serving.messages import Channel

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
    """Ours, with the package on the path wherever it was found, and threads that sleep while they wait."""
    folder = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path}
