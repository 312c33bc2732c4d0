"""A rank in a thread of this process, for `connect(config, isolated=False)`: a crash of it is a crash of the caller."""

from __future__ import annotations

import ctypes
import logging
import socket
import threading

from flashtalk.config import Config
from flashtalk.engine.engine import Engine
from flashtalk.parallel.groups import Place
from flashtalk.serving.messages import Channel
from flashtalk.serving.worker import Build, serve

_LEAVE_S = 30.0
"""Longest wait for the thread to finish its chunk; it cannot be killed."""

_log = logging.getLogger(__name__)


class ThreadRank:
    """See launch.Rank. `build` makes the engine; a group takes a process for each rank, which this is not."""

    def __init__(self, build: Build = lambda config, _place: Engine(config)) -> None:
        def tell_built(config: Config, place: Place) -> Engine:
            try:
                return build(config, place)
            finally:
                self._is_building = False

        self._is_building = True
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        self._thread = threading.Thread(target=_serve, args=(Channel(theirs), tell_built), name="rank", daemon=True)
        self._thread.start()

    def stop(self, *, at_once: bool) -> None:
        """See launch.Rank."""
        self.channel.close()
        if self._is_building and self._thread.is_alive():  # an ended thread's number may be another's by now
            _interrupt(self._thread)
        self._thread.join(0.0 if at_once else _LEAVE_S)


def _interrupt(thread: threading.Thread) -> None:
    """Have it end at its next step in Python. Left alone, it would abort the process that ends while it computes."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))


def _serve(channel: Channel, build: Build) -> None:
    try:
        serve(channel, build, lambda: None)
    except SystemExit:
        _log.debug("the engine was not wanted any more while it was built")
    except Exception as error:
        _log.error("the engine failed: %s", error, exc_info=_log.isEnabledFor(logging.DEBUG))
