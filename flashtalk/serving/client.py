"""`connect(config)`: the one way to a served engine, for the app, tests and users' programs."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from flashtalk.config import Config, StreamConfig
from flashtalk.config_app import ServingConfig
from flashtalk.config_file import variant_of
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import InputError
from flashtalk.serving.asked import asked_stream, demand_short_prompt, offered_sizes
from flashtalk.serving.launch import ProcessRank, Rank
from flashtalk.serving.line import TELL_S, Line
from flashtalk.serving.local import ThreadRank
from flashtalk.serving.nursery import Nursery
from flashtalk.serving.protocol import Client, OnPlace, ServiceStatus, Stream
from flashtalk.serving.saved_stream import SavedStream, read_stream
from flashtalk.serving.seat import Beginning, Seat, Surroundings
from flashtalk.serving.supervisor import Supervisor
from flashtalk.serving.variants import Variant, unknown_variant

_NEVER_S = 1e9


def connect(config: Config, *, isolated: bool = True) -> Client:
    """Start the engine that `config` describes and wait until it is ready; use the client as a context.

    isolated: it runs in processes of its own, `parallel.ranks` of them, which are replaced when they crash or hang and
    die with this one; otherwise in a thread of this process, for one rank. Raises ConfigError, CheckpointError,
    EngineError.
    """
    if isolated and config.serving.spare and sys.platform == "linux":
        nursery = Nursery()
        return House(config, nursery.rank, nursery.close).start()
    if isolated:
        return House(config, ProcessRank).start()
    # A thread cannot be killed, so nothing is gained by finding out that it hangs.
    patient = dataclasses.replace(config.serving, hang_s=_NEVER_S, spare=False)
    return House(dataclasses.replace(config, serving=patient), ThreadRank, isolated=False).start()


class House:
    """See protocol.Client. It serves once `start` was called.

    `make_rank` starts one rank, `isolated` from this process or in it; `on_closed` is called when none is left.
    """

    info: EngineInfo

    def __init__(
        self,
        config: Config,
        make_rank: Callable[[], Rank],
        on_closed: Callable[[], None] = lambda: None,
        *,
        isolated: bool = True,
    ) -> None:
        serving = config.serving
        self._config = config
        self._line = Line(serving.seats, serving.line, serving.wait_s)
        self._supervisor = Supervisor(config, make_rank, self._left, isolated=isolated)
        self._numbers = itertools.count(1)
        self._followed: set[Seat] = set()
        """Ended by a stream that has their place; not let go of by the supervisor yet."""
        self._engine_config = dataclasses.replace(config, serving=ServingConfig())
        self._on_closed = on_closed
        self._variants = {name: self._variant(name, make_rank, isolated) for name in serving.variants}

    def start(self) -> Self:
        """Wait until the engine is ready. Raises what `connect` does, after having closed itself."""
        supervisor = self._supervisor
        try:
            self.info = supervisor.start()
        except BaseException:
            self.close()
            raise
        fingerprint = self.info.fingerprint
        self._surroundings = Surroundings(self._config.serving, fingerprint, supervisor.lock, supervisor.stirred)
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """See Client."""
        return tuple(self._variants)

    def variant(self, name: str) -> Client:
        """See Client."""
        if name not in self._variants:
            raise unknown_variant(name, self._variants)
        return self._variants[name]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """See Client."""
        return offered_sizes(self._engine_config)

    def stream(self, *, seed: int | None = None, **changes: object) -> StreamConfig:
        """See Client."""
        return asked_stream(self._engine_config, seed, changes)

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
    ) -> Seat:
        """See Client."""
        if instead is None:
            self._line.demand_place()
        stream = self.stream(seed=seed, **changes)
        _check_portrait(portrait)
        demand_short_prompt(prompt)
        return self._seated(Beginning(stream, portrait, prompt), realtime, on_place, instead)

    def restore(self, path: Path, *, realtime: bool = False, on_place: OnPlace | None = None) -> Seat:
        """See Client."""
        return self._seated(read_stream(Path(path), self.info.fingerprint), realtime, on_place)

    def _seated(
        self, begin: Beginning | SavedStream, realtime: bool, on_place: OnPlace | None, instead: Stream | None = None
    ) -> Seat:
        if not self._follows(instead):
            self._line.take_seat(on_place)
        seat = Seat(next(self._numbers), begin, self._surroundings, realtime=realtime)
        try:
            self._supervisor.add(seat)
        except BaseException:
            self._left(seat)
            raise
        try:
            while not seat.wait_open(TELL_S):
                if on_place and self._supervisor.state == "recovering":
                    on_place(1)
        except BaseException:
            seat.close()
            raise
        return seat

    def status(self) -> ServiceStatus:
        """See Client."""
        supervisor, serving = self._supervisor, self._config.serving
        variants = {name: variant.status() for name, variant in self._variants.items()}
        with supervisor.lock:
            age_s = supervisor.progress_age_s()
            return ServiceStatus(
                ready=supervisor.state == "ready" and age_s <= serving.hang_s,
                state=supervisor.state,
                seats_used=self._line.used,
                seats_free=serving.seats - self._line.used,
                queue_length=self._line.waiting,
                restarts=max(0, supervisor.generation - 1),
                generation=supervisor.generation,
                processes=supervisor.processes,
                progress_age_s=age_s,
                counts={**supervisor.counts, "refused": self._line.refused},
                seconds=dict(supervisor.seconds),
                variants=variants,
            )

    def close(self) -> None:
        """See Client."""
        self._line.close()
        for variant in self._variants.values():
            variant.stop()
        self._supervisor.close()
        self._on_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _variant(self, name: str, make_rank: Callable[[], Rank], isolated: bool) -> Variant:
        config = variant_of(self._config, name)
        return Variant(config, lambda: House(config, make_rank, isolated=isolated))

    def _follows(self, old: Stream | None) -> bool:
        """End `old` and keep its place; False if that is given up already, or in another house."""
        with self._supervisor.lock:
            seat = self._supervisor.living(old)
            if seat is None:
                return False
            self._followed.add(seat)
            seat.close()
            return True

    def _left(self, seat: Seat) -> None:
        with self._supervisor.lock:
            if seat in self._followed:
                self._followed.remove(seat)
                return
        self._line.leave_seat(time.monotonic() - seat.seated_s)


def _check_portrait(portrait: np.ndarray) -> None:
    is_picture = isinstance(portrait, np.ndarray) and portrait.dtype == np.uint8 and portrait.ndim == 3
    if not is_picture or portrait.shape[2] != 3 or not portrait.size:
        raise InputError(
            "a portrait must be an RGB array of bytes [height, width, 3]; flashtalk.media.image.open_portrait makes "
            "one of a file",
            code="image_shape",
        )
