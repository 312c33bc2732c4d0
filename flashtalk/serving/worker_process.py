"""Entry of a rank's process: `python -m flashtalk.serving.worker_process SOCKET PARENT`, started by launch.py.

It must not outlive its parent: the kernel kills it with it (Linux), and a closed socket ends it everywhere.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys

_PR_SET_PDEATHSIG = 1


def main(handle: int, parent: int) -> None:
    """Serve on the inherited socket."""
    die_with(parent)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Only now, since they take seconds in which the parent may die.
    from flashtalk.engine.engine import Engine  # noqa: PLC0415
    from flashtalk.serving.messages import Channel  # noqa: PLC0415
    from flashtalk.serving.worker import serve  # noqa: PLC0415

    serve(Channel(socket.socket(fileno=handle)), Engine, lambda: os._exit(0))


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before it was asked
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
