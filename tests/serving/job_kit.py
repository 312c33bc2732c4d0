"""What tests of long videos share: an engine as a client without threads, files to upload, a room, and a process.

`python -m tests.serving.job_kit FOLDER` makes what waits in FOLDER until all is done: something to be killed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from PIL import Image

from flashtalk.config import Config
from flashtalk.config_app import JobsConfig
from flashtalk.config_codec import LightCodecConfig
from flashtalk.config_file import replace
from flashtalk.engine.engine import Engine
from flashtalk.errors import SessionClosed
from flashtalk.pipeline.session import Session
from flashtalk.serving.door import Door
from flashtalk.serving.jobs.room import JobRoom, Order
from flashtalk.serving.protocol import OnPlace, ServiceStatus, State, Stream
from flashtalk.types import VideoChunk
from tests.commands.kit import SMALL, picture, voice
from tests.conftest import build_tiny_config

OWNER, OTHER = "a" * 32, "b" * 32
RATE = 44100
SECONDS = 2.9
"""Of what `write_inputs` speaks for films of FRAMES frames in CHUNKS chunks."""
FRAMES = 73
CHUNKS = 10
WAIT_S = 30.0
JOBS = JobsConfig(journal_chunks=2, min_free_bytes=0, state_every_s=1.0)


def tiny() -> Config:
    """64x64 pictures, 8 new frames a chunk."""
    codec = LightCodecConfig(
        latent_channels=8,
        encoder_width=8,
        decoder_widths=(8, 8, 8, 8),
        encoder_blocks=(1, 1, 1),
        decoder_blocks=(1, 1, 1),
    )
    return replace(build_tiny_config("tiny", codec), SMALL)


class PlainStream:
    """A session that computes when it is asked for the next chunk. `before` is called then."""

    def __init__(self, session: Session, before: Callable[[], None]) -> None:
        self.config = session.stream
        self._session = session
        self._before = before

    def feed(self, samples_S: np.ndarray) -> None:
        self._session.push(samples_S)

    def finish(self) -> None:
        with suppress(SessionClosed):
            self._session.flush()

    def next(self, timeout_s: float) -> VideoChunk | None:
        self._before()
        return self._session.step() if self._session.ready() else None

    def save(self, path: Path) -> None:
        self._session.save(path)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> PlainStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PlainClient:
    """An engine as protocol.Client. A test may set `before`, which every chunk calls first, and `state`."""

    def __init__(self, config: Config) -> None:
        self._engine = Engine(config)
        self.config = config
        self.info = self._engine.info
        self.before: Callable[[], None] = lambda: None
        self.state: State = "ready"

    def open(
        self,
        portrait: np.ndarray,
        *,
        prompt: str = "",
        seed: int | None = None,
        realtime: bool = False,
        on_place: OnPlace | None = None,
        **changes: object,
    ) -> Stream:
        return PlainStream(self._engine.open(portrait, prompt=prompt, seed=seed, **changes), self._call)  # type: ignore[return-value]

    def restore(self, path: Path, *, realtime: bool = False, on_place: OnPlace | None = None) -> Stream:
        return PlainStream(self._engine.restore(path), self._call)  # type: ignore[return-value]

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            ready=True, state=self.state, seats_used=0, seats_free=1, queue_length=0, restarts=0, generation=1
        )

    def close(self) -> None:
        self._engine.close()

    def _call(self) -> None:
        self.before()


def write_inputs(folder: Path, seconds: float) -> tuple[Path, Path]:
    """A portrait and a voice."""
    portrait, sound = folder / "portrait.png", folder / "voice.wav"
    Image.fromarray(picture()).save(portrait)
    soundfile.write(sound, voice(seconds, RATE), RATE, subtype="PCM_16")
    return portrait, sound


def order_of(inputs: tuple[Path, Path], key: str = "one", owner: str = OWNER, **changes: object) -> Order:
    stream = replace(tiny(), {"stream.lookahead_frames": 3}).stream
    return Order(owner=owner, key=key, picture=inputs[0], sound=inputs[1], stream=stream, **changes)  # type: ignore[arg-type]


def room_in(folder: Path, client: PlainClient, **changes: object) -> JobRoom:
    return JobRoom(folder, client, Door(), dataclasses.replace(JOBS, **changes))  # type: ignore[arg-type]


def made(folder: Path, client: PlainClient, inputs: tuple[Path, Path]) -> bytes:
    """The film of one undisturbed job."""
    with room_in(folder, client) as room:
        job = room.submit(order_of(inputs))
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        return room.folder(job.id).film.read_bytes()


def make_all(folder: str, tell: Callable[[], None]) -> None:
    """Make everything that waits there; `tell` is called before each chunk."""
    client = PlainClient(tiny())
    client.before = tell
    room = JobRoom(Path(folder), client, Door(), JOBS)  # type: ignore[arg-type]
    with room:
        for view in room.jobs(OWNER):
            room.wait(view.job.id, ("done", "failed"), 3600)


if __name__ == "__main__":
    make_all(sys.argv[1], lambda: print("chunk", flush=True))
