"""Other engines of a house, for comparisons: started when first used, stopped when nobody uses them. For client.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from flashtalk.config import Config, StreamConfig
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import EngineError, InputError
from flashtalk.serving.asked import asked_stream, offered_sizes
from flashtalk.serving.protocol import Client, OnPlace, ServiceStatus, State, Stream

_LOOK_S = 1.0
"""How often a variant that runs looks whether it is still wanted; oftener when it may idle for a short time only."""


class Startable(Client, Protocol):
    """A house."""

    def start(self) -> Client:
        """Wait until its engine is ready. Raises what `connect` does, after having closed itself."""


class Variant:
    """See protocol.Client. `make` gives its house; whoever needs it first starts it, and waits."""

    def __init__(self, config: Config, make: Callable[[], Startable]) -> None:
        self._config = config
        self._make = make
        self._starting = threading.Lock()
        self._changed = threading.Condition()
        self._house: Startable | None = None
        self._users = 0
        self._used_s = 0.0
        self._closed = False
        self._watch: threading.Thread | None = None

    @property
    def info(self) -> EngineInfo:
        """See Client."""
        with self._running() as house:
            return house.info

    @property
    def variants(self) -> tuple[str, ...]:
        """See Client."""
        return ()

    def variant(self, name: str) -> Client:
        """See Client."""
        raise unknown_variant(name, ())

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """See Client."""
        return offered_sizes(self._config)

    def stream(self, *, seed: int | None = None, **changes: object) -> StreamConfig:
        """See Client; starts nothing."""
        return asked_stream(self._config, seed, changes)

    def open(
        self,
        portrait: np.ndarray,
        *,
        prompt: str = "",
        seed: int | None = None,
        realtime: bool = False,
        on_place: OnPlace | None = None,
        instead: Stream | None = None,
        **changes: object,
    ) -> Stream:
        """See Client."""
        self.stream(seed=seed, **changes)  # what cannot work starts no engine
        with self._running() as house:
            return house.open(
                portrait, prompt=prompt, seed=seed, realtime=realtime, on_place=on_place, instead=instead, **changes
            )

    def restore(self, path: Path, *, realtime: bool = False, on_place: OnPlace | None = None) -> Stream:
        """See Client."""
        with self._running() as house:
            return house.restore(path, realtime=realtime, on_place=on_place)

    def status(self) -> ServiceStatus:
        """See Client; "asleep" while it does not run."""
        house, seats = self._house, self._config.serving.seats
        if house:
            return house.status()
        state: State = "closed" if self._closed else "asleep"
        return ServiceStatus(
            ready=False, state=state, seats_used=0, seats_free=seats, queue_length=0, restarts=0, generation=0
        )

    def close(self) -> None:
        """Nothing: others may use it. It ends with the house, or when nobody used it for a while."""

    def __enter__(self) -> Variant:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def stop(self) -> None:
        """The house closes."""
        with self._changed:
            self._closed = True
            house, watch = self._house, self._watch
            self._changed.notify_all()
        if house:
            house.close()
        if watch:
            watch.join()

    @contextmanager
    def _running(self) -> Iterator[Client]:
        """The engine, which is not stopped meanwhile."""
        with self._changed:
            self._users += 1
        try:
            with self._starting:
                house = self._house or self._started()
            yield house
        finally:
            with self._changed:
                self._users -= 1
                self._used_s = time.monotonic()

    def _started(self) -> Client:
        if self._watch:
            self._watch.join()  # the last engine's memory is free again
        house = self._make()
        with self._changed:
            if self._closed:
                raise EngineError("this client is closed; connect again", code="closed")
            self._house = house
        try:
            house.start()
        except BaseException:
            self._house = None
            raise
        with self._changed:
            if not self._closed:
                self._watch = threading.Thread(target=self._attend, args=(house,), name="variant", daemon=True)
                self._watch.start()
        return house

    def _attend(self, house: Startable) -> None:
        look_s = min(_LOOK_S, self._config.serving.variant_idle_s / 4)
        with self._changed:
            while self._is_wanted(house.status()) and not self._closed:
                self._changed.wait(look_s)
            self._house = None
        house.close()

    def _is_wanted(self, status: ServiceStatus) -> bool:
        if status.state == "closed":  # by a fault: the next who asks gets another
            return False
        now_s = time.monotonic()
        if self._users or status.seats_used:
            self._used_s = now_s
        return now_s - self._used_s < self._config.serving.variant_idle_s


def unknown_variant(name: str, known: Iterable[str]) -> InputError:
    """For raising."""
    return InputError(f"no variant '{name}'; there are {', '.join(known) or 'none'}", code="variant")
