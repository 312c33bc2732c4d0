"""One job for one key: a request that is sent twice (a double click, a retry after a dropped line) is done once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from flashtalk.errors import InputError, Overloaded

Value = TypeVar("Value")
_SHORTEST_KEY = 8
_MOST_DONE = 256
_MOST_WAITING = 4
"""For one job; more are told at once to ask again."""
_PATIENCE_S = 60.0
_BEFORE_S = 60.0
"""A job is forgotten so long before the files that it made."""


@dataclass
class _Job(Generic[Value]):
    fingerprint: str
    future: Future[Value]
    done_s: float = 0.0
    waiting: int = 0


class Once(Generic[Value]):
    """Remembers jobs by their key. Who asks for one that is under way waits `patience_s`. Thread-safe.

    age_s: of the files that a job makes, from its end.
    """

    def __init__(self, age_s: float, patience_s: float = _PATIENCE_S) -> None:
        self._age_s = age_s
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job[Value]] = {}

    def run(self, key: str, fingerprint: str, work: Callable[[], Value]) -> Value:
        """The result of `work`, or of the job that the same key began before. An empty key is always new.

        `fingerprint` says what is asked for. Raises InputError(key_reused, key_short), Overloaded(key_waiting) while
        the job that another call began goes on, and what `work` raises.
        """
        if not key:
            return work()
        if len(key) < _SHORTEST_KEY:
            message = f"The key has {len(key)} letters; use {_SHORTEST_KEY} or more, so that nobody else's is the same."
            raise InputError(message, code="key_short")
        job, is_new = self._job(key, fingerprint)
        if not is_new:
            return self._others(job)
        self._do(key, job, work)
        return job.future.result()

    def _job(self, key: str, fingerprint: str) -> tuple[_Job[Value], bool]:
        with self._lock:
            self._forget()
            known = self._jobs.get(key)
            if known is None:
                known = self._jobs[key] = _Job(fingerprint, Future())
                return known, True
        if known.fingerprint != fingerprint:
            raise InputError("This key was used for another film; take a new one.", code="key_reused")
        return known, False

    def _forget(self) -> None:
        """Jobs that are done and old, or more than enough; those under way stay."""
        done = [key for key, job in self._jobs.items() if job.future.done()]
        oldest_s = time.monotonic() - (self._age_s - _BEFORE_S)
        for place, key in enumerate(done, start=1):
            if len(done) - place >= _MOST_DONE or self._jobs[key].done_s < oldest_s:
                del self._jobs[key]

    def _others(self, job: _Job[Value]) -> Value:
        """The result of a job that another call does, if it comes in time."""
        with self._lock:
            job.waiting += 1
        try:
            return job.future.result(self._patience_s if job.waiting <= _MOST_WAITING else 0)
        except TimeoutError:
            if job.future.done():  # it came just now, or this is the job's own
                return job.future.result()
            message = "The film with this key is still being made; ask again with the same key."
            raise Overloaded(message, code="key_waiting") from None
        finally:
            with self._lock:
                job.waiting -= 1

    def _do(self, key: str, job: _Job[Value], work: Callable[[], Value]) -> None:
        """A job that failed is forgotten, so that it may be tried again; who waited is told all the same."""
        try:
            result = work()
        except BaseException as error:
            with self._lock:
                self._jobs.pop(key, None)
            job.future.set_exception(error)
        else:
            with self._lock:
                job.done_s = time.monotonic()
                self._jobs[key] = self._jobs.pop(key)  # the youngest of those that are done
                job.future.set_result(result)
