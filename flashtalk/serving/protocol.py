"""What a client of the engine offers, whether the engine runs here (local.py) or in processes of its own (client.py).

Written against by the app, the command line and tests; `connect(config)` gives a Client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np

from flashtalk.config import StreamConfig
from flashtalk.engine.engine import EngineInfo
from flashtalk.types import VideoChunk

State = Literal["starting", "ready", "recovering", "closed", "asleep"]
"""asleep: a variant that nobody uses; the first who does starts it."""
OnPlace = Callable[[int], None]
"""Told the place in line, 1 being next, whenever it changes and about once a second; what it raises ends the wait.

With a seat, but while an engine is being replaced, one is next."""


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """How the house stands."""

    ready: bool
    """Whether the engine computes now; false while it starts, recovers or hangs."""
    state: State
    seats_used: int
    seats_free: int
    queue_length: int
    restarts: int
    """How often the engine was lost and started again."""
    generation: int
    """Counts engines: 1 is the first."""
    processes: tuple[int, ...] = ()
    """Of the engine that runs now."""
    progress_age_s: float = 0.0
    """Seconds since the engine last showed progress; it does so when idle too."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Since the start: opens, opened (restores), chunk, failed, checked, frames, died, hung, wrong, refused."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Spent on opens, opened, chunk, failed."""
    variants: Mapping[str, ServiceStatus] = field(default_factory=dict)
    """The same of each variant; whether they are ready says nothing about the house."""


class Stream(Protocol):
    """One visitor's seat, a context. One thread may feed and interrupt while another takes chunks."""

    @property
    def config(self) -> StreamConfig:
        """The settings of this stream."""

    @property
    def seated_s(self) -> float:
        """When the seat was got, after engine and line; of time.monotonic()."""

    def feed(self, samples_S: np.ndarray) -> None:
        """Add sound, float32 mono at `config.sample_rate`; never waits. Raises InputError, SessionClosed."""

    def finish(self) -> None:
        """No more sound will come: the rest is computed, the last chunk cut to the sound's length."""

    def next(self, timeout_s: float) -> VideoChunk | None:
        """The next chunk; None when the stream has ended. Raises TimeoutError (nothing is lost), WorkerLost, ..."""

    def __iter__(self) -> Iterator[VideoChunk]:
        """All chunks to the end."""

    def interrupt(self, shown_chunks: int | None = None) -> None:
        """Drop the sound that no chunk took and all chunks after the first `shown_chunks`; never waits.

        The next chunk given has the index `shown_chunks` (None: of those that `next` gave, all were shown).
        Raises InputError (code interrupt_range) if that is further back than the stream can go.
        """

    def save(self, path: Path) -> None:
        """Write the stream's state to a file on the engine's machine; `Client.restore` goes on from it bit for bit.

        To be called when all chunks of the sound fed so far were taken. Raises EngineError (code save), SessionClosed.
        """

    def close(self) -> None:
        """Free the seat; allowed at any time, from any thread, any number of times."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Client(Protocol):
    """Connected to one engine; a context. All calls may come from any thread."""

    @property
    def info(self) -> EngineInfo:
        """What runs."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of other engines to compare with, see ServingConfig.variants; this one is not among them."""

    def variant(self, name: str) -> Client:
        """That engine, shared by all who ask; never waits. Who first opens a stream or asks for `info` starts it.

        It ends when nobody used it for ServingConfig.variant_idle_s, and with this client; its `close` does nothing.
        Raises InputError (code variant).
        """

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of pictures that `stream` and `open` take, the engine's own first."""

    def stream(self, *, seed: int | None = None, **changes: object) -> StreamConfig:
        """The stream settings with changes, checked against the model and serving/asked.py. InputError, ConfigError."""

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
        """Take a seat, waiting in line while the house is full.

        portrait: RGB uint8 [H, W, 3], fitted to the stream's size here. realtime: somebody watches while it is made,
        so its chunks come before those of streams that are not. instead: a stream of this client that ends here and
        leaves its seat to the new one, past the line; one that is over by then has no seat to leave. Raises Overloaded
        with the place in line when the wait is over, InputError, ConfigError, WorkerLost.
        """

    def restore(self, path: Path, *, realtime: bool = False, on_place: OnPlace | None = None) -> Stream:
        """Go on with a stream that `Stream.save` wrote: seats and errors as `open`; sound goes on where it stood.

        Raises InputError (codes session_file, session_model) too.
        """

    def status(self) -> ServiceStatus:
        """How the house stands; never waits."""

    def close(self) -> None:
        """Close all streams and let go of the engine; allowed any number of times."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
