"""One job for one key: a request that is sent twice (a double click, a retry after a dropped line) is done once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from flashtalk.errors import InputError

Value = TypeVar("Value")
_SHORTEST_KEY = 8
_KEPT = 256


@dataclass
class _Job(Generic[Value]):
    fingerprint: str
    begun_s: float
    future: Future[Value]


class Once(Generic[Value]):
    """Remembers jobs by their key for `age_s`. Thread-safe."""

    def __init__(self, age_s: float) -> None:
        self._age_s = age_s
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job[Value]] = OrderedDict()

    def run(self, key: str, fingerprint: str, work: Callable[[], Value]) -> Value:
        """The result of `work`, or of the job that the same key began before. An empty key is always new.

        `fingerprint` says what is asked for. Raises InputError(key_reused, key_short), and what `work` raises.
        """
        if not key:
            return work()
        if len(key) < _SHORTEST_KEY:
            message = f"The key has {len(key)} letters; use {_SHORTEST_KEY} or more, so that nobody else's is the same."
            raise InputError(message, code="key_short")
        job, is_new = self._job(key, fingerprint)
        if is_new:
            self._do(key, job, work)
        return job.future.result()

    def _job(self, key: str, fingerprint: str) -> tuple[_Job[Value], bool]:
        now = time.monotonic()
        with self._lock:
            while self._jobs and (
                len(self._jobs) > _KEPT or now - next(iter(self._jobs.values())).begun_s > self._age_s
            ):
                self._jobs.popitem(last=False)
            known = self._jobs.get(key)
            if known is None:
                known = self._jobs[key] = _Job(fingerprint, now, Future())
                return known, True
        if known.fingerprint != fingerprint:
            raise InputError("This key was used for another film; take a new one.", code="key_reused")
        return known, False

    def _do(self, key: str, job: _Job[Value], work: Callable[[], Value]) -> None:
        """A job that failed is forgotten, so that it may be tried again; who waited is told all the same."""
        try:
            job.future.set_result(work())
        except BaseException as error:
            with self._lock:
                self._jobs.pop(key, None)
            job.future.set_exception(error)
