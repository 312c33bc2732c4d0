"""A rank in a thread of this process, for `connect(config, isolated=False)`: a crash of it is a crash of the caller."""

from __future__ import annotations

import logging
import socket
import threading

from flashtalk.engine.engine import Engine
from flashtalk.serving.messages import Channel
from flashtalk.serving.worker import Build, serve

_LEAVE_S = 30.0
"""Longest wait for the thread to finish its chunk; it cannot be killed."""

_log = logging.getLogger(__name__)


class ThreadRank:
    """See launch.Rank. `build` makes the engine; a group takes a process for each rank, which this is not."""

    def __init__(self, build: Build = lambda config, _place: Engine(config)) -> None:
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        self._thread = threading.Thread(target=_serve, args=(Channel(theirs), build), name="rank", daemon=True)
        self._thread.start()

    def stop(self, *, at_once: bool) -> None:
        """See launch.Rank."""
        self.channel.close()
        self._thread.join(0.0 if at_once else _LEAVE_S)


def _serve(channel: Channel, build: Build) -> None:
    try:
        serve(channel, build, lambda: None)
    except Exception as error:
        _log.error("the engine failed: %s", error, exc_info=_log.isEnabledFor(logging.DEBUG))
