"""A rank's side: builds the engine, then does one order after the other. Says nothing about processes.

Run by worker_process.py in a process of its own and by local.py in a thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import torch

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import from_tree
from flashtalk.engine.engine import Engine
from flashtalk.engine.ranks import join_ranks
from flashtalk.errors import ConfigError, EngineError, FlashTalkError, WorkerLost
from flashtalk.parallel.groups import Place
from flashtalk.pipeline.session import Session
from flashtalk.serving.messages import (
    Beat,
    Channel,
    Check,
    Checked,
    Chunk,
    Close,
    Done,
    Failed,
    Message,
    Open,
    Opened,
    Order,
    Ready,
    Restore,
    Start,
    Step,
    is_fine,
)
from flashtalk.serving.scheduler import live_frames

WRONG = 4.0
"""A known picture that differs by more in the mean, of 256 levels, tells that the engine is ill."""
LOOK_S = 0.25
"""How often an idle rank looks up: what its heart tells is its own progress, not that of the thread that beats."""

FATAL = (torch.AcceleratorError, WorkerLost)
"""The device, or another rank, is lost for everybody: this process ends, and a new one begins anew."""

Build = Callable[[Config, Place], Engine]
"""Makes a rank's engine. Raises FlashTalkError."""

_log = logging.getLogger(__name__)


def build_engine(config: Config, place: Place) -> Engine:
    """Alone, or as a part of the group that meets at `place`. The group is not left: it ends with the process."""
    return Engine(config, join_ranks(config, place) if place.world > 1 else None)


def serve(channel: Channel, build: Build, on_gone: Callable[[], None]) -> None:
    """Serve until the supervisor is gone; then `on_gone` is called, from another thread if this one computes.

    Ends before that when no engine can be built or another rank is lost, and raises when the device is.
    """
    try:
        start = channel.receive()
        if not isinstance(start, Start):
            return
        with Heart(channel, float(start.config["serving"]["beat_s"]), on_gone) as heart:
            worker = _built(channel, start, build, heart)
            if worker:
                worker.run()
    except (EOFError, OSError):
        on_gone()
    except WorkerLost as error:
        _log.error("%s", error)
    finally:
        channel.close()


class Heart:
    """Beats in a thread of its own while the rank lives, and notices when nobody listens."""

    def __init__(self, channel: Channel, beat_s: float, on_gone: Callable[[], None]) -> None:
        self._channel = channel
        self._beat_s = beat_s
        self._on_gone = on_gone
        self._progress = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def tick(self) -> None:
        """Something went on."""
        self._progress += 1

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.wait(self._beat_s):
            try:
                self._channel.send(Beat(progress=self._progress))
            except OSError:
                self._on_gone()
                return


class Worker:
    """The engine's sessions by number of stream. Orders of all ranks are the same, so ranks stay in step."""

    def __init__(self, engine: Engine, channel: Channel, heart: Heart, *, leads: bool) -> None:
        self._engine = engine
        self._channel = channel
        self._heart = heart
        self._leads = leads
        self._canary = Canary(engine)
        self._sessions: dict[int, Session] = {}

    def warm_up(self) -> None:
        """Reserve memory and compile now, so that no visitor waits for it. Raises what the engine does."""
        self._canary.sing()
        if self._engine.config.runtime.compile:
            with suppress(ConfigError):  # where no stream may begin so, none will
                self._canary.made(first_chunk_frames=live_frames(self._engine.config))

    def run(self) -> None:
        """Until the channel ends: EOFError, OSError."""
        with self._engine:
            self._serve()

    def _serve(self) -> None:
        self._channel.send(Ready(info=asdict(self._engine.info), process=os.getpid()))
        while True:
            message = self._channel.receive(LOOK_S)
            self._heart.tick()
            if isinstance(message, Close):
                self._forget(message.stream)
            elif isinstance(message, Order):
                answer = self._checked() if isinstance(message, Check) else self._done(message)
                self._channel.send(answer if self._leads else Done(stream=message.stream, fine=is_fine(answer)))

    def _done(self, order: Open | Restore | Step) -> Message:
        try:
            return self._step(order) if isinstance(order, Step) else self._begin(order)
        except FATAL:
            raise
        except Exception as error:
            self._forget(order.stream)
            return failed(_told(error), order.stream, order.epoch)

    def _checked(self) -> Checked:
        try:
            return Checked(stream=0, fine=self._canary.sing())
        except FATAL:
            raise
        except Exception:
            _log.exception("the engine made no chunk in its idle time")
            return Checked(stream=0, fine=False)

    def _begin(self, order: Open | Restore) -> Opened:
        self._forget(order.stream)
        if isinstance(order, Open):
            settings = from_tree(StreamConfig, order.settings)
            session = self._engine.open(order.portrait, prompt=order.prompt, **vars(settings))
        else:
            session = self._engine.restore(order.snapshot)
        self._sessions[order.stream] = session
        snapshot = self._snapshot(session) if isinstance(order, Open) else b""
        return Opened(stream=order.stream, epoch=order.epoch, snapshot=snapshot, needs=session.samples_needed)

    def _step(self, order: Step) -> Chunk:
        session = self._sessions[order.stream]
        if len(order.samples):  # with look-ahead, chunks are left after the sound has ended
            session.push(order.samples)
        if order.end:
            session.flush()
        chunk = session.step()
        return Chunk(
            stream=order.stream,
            epoch=order.epoch,
            index=chunk.index,
            first_frame=chunk.first_frame,
            frames=chunk.frames_FHWC,
            samples=chunk.samples,
            timings=dict(chunk.timings_s),
            snapshot=self._snapshot(session),
            needs=session.samples_needed,
        )

    def _snapshot(self, session: Session) -> bytes:
        """The first rank's, from which all ranks of the next group go on: no two can begin with different states."""
        return session.snapshot() if self._leads else b""

    def _forget(self, stream: int) -> None:
        session = self._sessions.pop(stream, None)
        if session:
            session.close()


class Canary:
    """A chunk for nobody, always of the same grey picture and silence: if it comes out otherwise, the engine is ill."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known_FHWC: np.ndarray | None = None

    def sing(self) -> bool:
        """Whether the chunk is as the first one was. Raises what the engine does."""
        frames_FHWC = self.made()
        if self._known_FHWC is None:
            self._known_FHWC = frames_FHWC
        return bool(np.abs(frames_FHWC - self._known_FHWC).mean() <= WRONG)

    def made(self, **changes: int) -> np.ndarray:
        """Its frames, float32 [F, H, W, 3]; `changes` of the stream's settings. Raises what the engine does."""
        stream = self._engine.config.stream
        session = self._engine.open(np.full((stream.height, stream.width, 3), 128, np.uint8), **changes)  # type: ignore[arg-type]
        try:
            frames = 2 * stream.chunk_frames + stream.lookahead_frames
            session.push(np.zeros(frames * stream.samples_per_frame, np.float32))
            return session.step().frames_FHWC.astype(np.float32)
        finally:
            session.close()


def failed(error: FlashTalkError, stream: int = 0, epoch: int = 0) -> Failed:
    """An error as a message."""
    return Failed(stream=stream, epoch=epoch, error=type(error).__name__, code=error.code, message=str(error))


def _told(error: Exception) -> FlashTalkError:
    """What a visitor may know of it; the rest goes to the log."""
    if isinstance(error, FlashTalkError):
        return error
    _log.error("a stream failed", exc_info=error)
    return EngineError("this stream failed by a fault of ours; it was logged, others go on", code="fault")


def _built(channel: Channel, start: Start, build: Build, heart: Heart) -> Worker | None:
    place = Place(start.rank, start.world, local_rank=start.rank, meet_at=start.meet_at)
    try:
        engine = build(from_tree(Config, start.config), place)
        engine.on_progress(heart.tick)
        worker = Worker(engine, channel, heart, leads=start.rank == 0)
        if start.warm_up:
            worker.warm_up()
        return worker
    except FlashTalkError as error:
        channel.send(failed(error))
    except OSError as error:  # the disk's, not the channel's
        _log.exception("the engine could not be built")
        why = error.strerror or type(error).__name__
        channel.send(failed(EngineError(f"the engine could not be started: {why}", code="start")))
    return None
