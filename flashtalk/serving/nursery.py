"""Ranks that are forked from a process which has all libraries loaded: in milliseconds, and sharing its memory. Linux.

Made by client.py. What happens at the other end is in nursery_process.py.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from flashtalk.serving.launch import start_child
from flashtalk.serving.messages import Channel

REQUEST = struct.Struct("<cQ")
"""To the nursery: what, and a rank's number. The answer to END is the same."""
BEGIN, END = b"b", b"e"
"""BEGIN brings the rank's end of its channel along and has no answer."""

_END_S = 20.0
"""A nursery that ends no rank within this time hangs; it is killed, and its ranks die with it."""
_MUTE_S = 20.0
"""A rank that was not heard in such a time was forked from something that is ill."""


class Nursery:
    """Thread-safe. Its process starts with the first rank. If it is lost, so are its ranks; the next starts another.

    One whose rank was mute makes no more, and ends with the last that it has.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The kernel kills a child with the thread that started it: this one lives until `close`.
        self._keeper = ThreadPoolExecutor(1, "nursery")
        self._numbers = itertools.count(1)
        self._life: _Life | None = None

    def rank(self) -> NurseryRank:
        """A new rank; never waits. Raises OSError."""
        ours, theirs = socket.socketpair()
        number = next(self._numbers)
        with theirs, self._lock:
            if self._life is None or not self._life.begin(number, theirs):
                self._begin_again()
                if not self._life or not self._life.begin(number, theirs):
                    ours.close()
                    raise OSError("a process died as it began")
            return NurseryRank(ours, self._life, number)

    def close(self) -> None:
        """End its process, and ranks that are left."""
        with self._lock:
            if self._life:
                self._life.end_all()
        self._keeper.shutdown()

    def _begin_again(self) -> None:
        if self._life and not self._life.is_ill:
            self._life.end_all()
        self._life = self._keeper.submit(_Life).result()


class NurseryRank:
    """See launch.Rank."""

    def __init__(self, connected: socket.socket, life: _Life, number: int) -> None:
        self.channel = Channel(connected)
        self._life = life
        self._number = number
        self._began_s = time.monotonic()

    def stop(self, *, at_once: bool) -> None:  # noqa: ARG002
        """See launch.Rank; a rank has nothing to lose, so it is never asked."""
        self.channel.close()
        mute = not self.channel.was_heard and time.monotonic() - self._began_s > _MUTE_S
        self._life.end(self._number, mute=mute)


class _Life:
    """One nursery process, from its start to its end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ranks: set[int] = set()
        self.is_ill = False
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_END_S)
        with theirs:
            self._process = start_child("flashtalk.serving.nursery_process", theirs)

    def begin(self, number: int, theirs: socket.socket) -> bool:
        """Ask for a rank; whether anybody is there to hear it."""
        if self.is_ill:
            return False
        self._ranks.add(number)
        try:
            socket.send_fds(self._control, [REQUEST.pack(BEGIN, number)], [theirs.fileno()])
        except OSError:
            return False
        return self._process.poll() is None

    def end(self, number: int, *, mute: bool) -> None:
        """Kill a rank, which may have been mute, and wait until it is gone."""
        with self._lock:
            self._ranks.discard(number)
            self.is_ill = self.is_ill or mute
            try:
                self._control.send(REQUEST.pack(END, number))
                answer = self._control.recv(REQUEST.size)
            except OSError:  # a timeout is one
                answer = b""
            if not answer or (self.is_ill and not self._ranks):
                self._kill()

    def end_all(self) -> None:
        """Its ranks die with it."""
        with self._lock:
            self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._control.close()
