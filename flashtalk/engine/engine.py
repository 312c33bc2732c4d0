"""The engine: one set of weights, any number of sessions. Made by serving and the command line."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import nn

from flashtalk.config import Config, StreamConfig
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.engine.compile_cache import Compiling
from flashtalk.engine.machine import numerics
from flashtalk.engine.ranks import Turn
from flashtalk.errors import ConfigError, EngineError, InputError
from flashtalk.media.image import fit_portrait, open_portrait
from flashtalk.ops.attention import select_attention
from flashtalk.ops.memory_guard import out_of_memory_as_error
from flashtalk.parallel.groups import Ranks
from flashtalk.pipeline.conditioning import make_conditioning, make_portrait
from flashtalk.pipeline.session import Session
from flashtalk.types import Portrait

Picture = str | Path | np.ndarray


@dataclass(frozen=True)
class EngineInfo:
    """What runs, for people and logs."""

    model: str
    trained: bool
    parameters: int
    device: str
    dtype: str
    attention: str
    fingerprint: str
    machine: str
    """What else decides the last bits; see `numerics`."""
    ranks: int = 1


class Engine:
    """Holds the weights until it is closed; use it as a context.

    `ranks` is this process's part in a group that outlives the engine; all of it makes the same calls (see ranks.py).
    """

    def __init__(self, config: Config, ranks: Ranks | None = None) -> None:
        if ranks is None and config.parallel.ranks > 1:
            raise ConfigError(
                f"parallel.ranks is {config.parallel.ranks}, but this process is alone; serving.connect, "
                f"`flashtalk generate`, `flashtalk bench --gpus {config.parallel.ranks}` and the app start the others"
            )
        if config.runtime.threads is not None:
            torch.set_num_threads(config.runtime.threads)
        self.config = config
        with out_of_memory_as_error(f"the weights of {config.model.name}"):
            self._networks = build_networks(config, ranks)
        self._ranks = ranks
        self._lock = Turn(ranks)
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._closed = False
        self._compiling = Compiling(self._networks.dit) if config.runtime.compile else None
        if self._compiling:
            self.warm_up()

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        networks = self._networks
        parameters = sum(p.numel() for _, module in networks.modules() for p in module.parameters())
        return EngineInfo(
            model=networks.config.name,
            trained=self.config.checkpoint.source is not None,
            parameters=parameters,
            device=str(networks.device),
            dtype=str(networks.dit.dtype).removeprefix("torch."),
            attention=select_attention(self.config.runtime.attention, networks.device, networks.dit.dtype)[0],
            fingerprint=networks.fingerprint,
            machine=numerics(networks.device, self.config),
            ranks=self._ranks.world if self._ranks else 1,
        )

    def open(
        self, portrait: Picture | Portrait, *, prompt: str = "", seed: int | None = None, **changes: object
    ) -> Session:
        """Start a stream. `changes` are fields of StreamConfig for this session only (steps, width, ...).

        A picture is fitted to the stream's size; what `portrait(...)` made may be shared. Raises InputError,
        ConfigError.
        """
        self._check_open()
        stream = self.stream(seed=seed, **changes)
        if not isinstance(portrait, Portrait):
            portrait = self.portrait(portrait, stream)
        with torch.inference_mode(), self._lock, out_of_memory_as_error("the session"):
            conditioning = make_conditioning(self._networks, portrait, prompt)
            return self._keep(Session(self._networks, stream, conditioning, lock=self._lock))

    def portrait(self, picture: Picture, stream: StreamConfig | None = None) -> Portrait:
        """Prepare a picture once, for any number of sessions of the same size."""
        self._check_open()
        stream = stream or self.config.stream
        fitted = fit_portrait(open_portrait(picture), stream.width, stream.height, stream.fit)
        with torch.inference_mode(), self._lock, out_of_memory_as_error("the portrait"):
            return make_portrait(self._networks, fitted, stream.chunk_frames)

    def restore(self, saved: str | Path | bytes) -> Session:
        """Go on with a stream that `Session.save` wrote or `Session.snapshot` gave. Raises InputError."""
        self._check_open()
        with self._lock, out_of_memory_as_error("the session"):
            return self._keep(Session.restore(self._networks, saved, self._lock))

    def stream(self, *, seed: int | None = None, **changes: object) -> StreamConfig:
        """The engine's stream settings with changes, checked against the model."""
        return changed_stream(self.config, seed, changes)

    def close(self) -> None:
        """Close all sessions and let go of the weights; allowed any number of times."""
        for session in self._sessions:
            session.close()
        self._closed = True
        self.__dict__.pop("_networks", None)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on_progress(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever a part of a network begins: slow can be told from stuck. A compiled part counts once.

        While blocks are compiled, for a size or a long prompt that are new, it is called again and again.
        """
        if self._compiling:
            self._compiling.tell = tell
        for _, network in self._networks.modules():
            for module in _uncompiled(network):
                module.register_forward_pre_hook(lambda _module, _inputs: tell())

    def warm_up(self, chunks: int = 2) -> None:
        """Compile and reserve memory now, on a grey picture and silence, so that no visitor waits for it.

        The first chunk of a stream may have another size than all others: two chunks warm everything.
        """
        stream = self.config.stream
        session = self.open(np.full((stream.height, stream.width, 3), 128, np.uint8))
        frames = chunks * stream.chunk_frames + stream.lookahead_frames
        session.push(np.zeros(frames * stream.samples_per_frame, np.float32))
        for _ in range(chunks):
            session.step()
        session.close()

    def _keep(self, session: Session) -> Session:
        self._sessions.add(session)
        return session

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("this engine is closed; make a new one")


def changed_stream(config: Config, seed: int | None, changes: Mapping[str, object]) -> StreamConfig:
    """The config's stream settings with changes, checked against its model. Raises InputError, ConfigError."""
    known = {f.name for f in dataclasses.fields(StreamConfig)}
    if not changes.keys() <= known:
        raise InputError(f"unknown stream settings {sorted(changes.keys() - known)}; known are {sorted(known)}")
    wanted = dict(changes) if seed is None else {**changes, "seed": seed}
    return replace(config, {f"stream.{name}": value for name, value in wanted.items()}).stream


def _uncompiled(module: nn.Module) -> Iterator[nn.Module]:
    """Modules that hold others and run as Python; what is inside a compiled one does not."""
    if getattr(module, "_compiled_call_impl", None) is None and any(True for _ in module.children()):
        yield module
        for child in module.children():
            yield from _uncompiled(child)
