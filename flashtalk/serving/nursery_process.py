"""Entry of the nursery: `python -m flashtalk.serving.nursery_process SOCKET PARENT`, started by nursery.py.

It loads the libraries once and then forks ranks, which die with it as it dies with its parent. It never computes: the
threads that torch would make for that do not survive a fork, nor does CUDA, nor a group of ranks.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from flashtalk.serving.nursery import BEGIN, REQUEST
from flashtalk.serving.worker_process import die_with, live, log_to_stderr


def main(handle: int, parent: int) -> None:
    """Serve on the inherited socket until it is closed."""
    die_with(parent)
    log_to_stderr()
    # Only now, since it takes seconds in which the parent may die.
    import flashtalk.serving.worker  # noqa: F401, PLC0415

    gc.freeze()  # a collection would write to every object, and unshare its page
    control, ranks = socket.socket(fileno=handle), dict[int, int]()
    while True:
        request, files, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if not request:
            return
        what, number = REQUEST.unpack(request)
        if what == BEGIN:
            ranks[number] = _forked(control, files[0])
        else:
            _end(ranks.pop(number, None))
            control.send(request)


def _forked(control: socket.socket, handle: int) -> int:
    nursery = os.getpid()
    child = os.fork()
    if child == 0:
        control.close()
        live(handle, nursery)
    os.close(handle)
    return child


def _end(child: int | None) -> None:
    if child is not None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
