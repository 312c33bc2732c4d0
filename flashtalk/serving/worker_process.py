"""Entry of a rank's process: `python -m flashtalk.serving.worker_process SOCKET PARENT`, started by launch.py.

`live` is the life of forked ranks too (nursery_process.py). They must not outlive their parent: the kernel kills them
with it (Linux), and a closed socket ends them everywhere.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


_log = logging.getLogger(__name__)


def main(handle: int, parent: int) -> NoReturn:
    """Serve on the inherited socket."""
    log_to_stderr()
    live(handle, parent)


def live(handle: int, parent: int) -> NoReturn:
    """A rank's life, which ends with this process.

    Nothing is tidied up before: leaving a group in order waits for the other ranks, and these may be gone or stuck.
    """
    try:
        die_with(parent)
        # Only now, since they take seconds in which the parent may die.
        from flashtalk.serving.messages import Channel  # noqa: PLC0415
        from flashtalk.serving.worker import build_engine, serve  # noqa: PLC0415

        serve(Channel(socket.socket(fileno=handle)), build_engine, lambda: os._exit(0))
    except BaseException:
        _log.exception("a rank ended")
        os._exit(1)
    os._exit(0)


def log_to_stderr() -> None:
    """Warnings and worse of this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before it was asked
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
