"""Where compiled kernels stay between starts, and who makes them. Called by build.py before anything is compiled and by
the engine while it is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from flashtalk.errors import ConfigError
from flashtalk.models.dit import DiT

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""torch takes the folder from the environment alone, Triton's inside of it, and hands it to processes that compile."""
AUTO, OFF = "auto", "off"

TELL_S, LONGEST_S = 0.25, 900.0
"""How often a compilation tells that it goes on, and for how long it is believed."""

_log = logging.getLogger(__name__)


def keep_compiled(where: str) -> None:
    """Make torch.compile keep its results in the folder that `runtime.compile_cache` names, and find them there.

    It is for this user alone, since what lies there is run. Raises ConfigError if a folder that was named cannot be
    made; without one of its own, torch compiles into a temporary folder.
    """
    if where == OFF or (where == AUTO and VARIABLE in os.environ):
        return
    try:
        folder = Path.home() / ".cache" / "flashtalk" / "compiled" if where == AUTO else Path(where).absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home
        if where != AUTO:
            raise ConfigError(
                f"runtime.compile_cache '{where}' is no folder ({error}); name one, auto or off"
            ) from None
        _log.warning("compiled kernels are not kept between starts: %s", error)
        return
    os.environ[VARIABLE] = str(folder)


def end_compilers() -> None:
    """End torch's compiling processes: they outlive a killed engine by seconds. Who compiles later starts new ones."""
    from torch._inductor.async_compile import shutdown_compile_workers  # noqa: PLC0415  seconds that only who compiles should pay

    shutdown_compile_workers()


class Compiling:
    """The first step of each shape, a size of picture or of prompt: blocks are compiled, which shows no progress.

    Until the device is done with it (other ranks may compile for longer), `tell` is called several times a second; then
    torch's compiling processes are ended.
    """

    def __init__(self, dit: DiT) -> None:
        self.tell: Callable[[], None] = lambda: None
        self._known: set[tuple[tuple[int, ...], ...]] = set()
        self._done = threading.Event()
        dit.register_forward_pre_hook(self._begin)
        dit.register_forward_hook(self._end, always_call=True)

    def _begin(self, _dit: DiT, inputs: tuple[Any, ...]) -> None:
        if _shapes(inputs) not in self._known:
            self._done = threading.Event()
            threading.Thread(target=self._go_on, args=(self._done,), name="compiling", daemon=True).start()

    def _end(self, _dit: DiT, inputs: tuple[Any, ...], velocity: Tensor | None) -> None:
        shapes = _shapes(inputs)
        if shapes in self._known:
            return
        try:
            if velocity is not None:  # None: it failed
                self._known.add(shapes)
                velocity.sum().item()
            end_compilers()
        finally:
            self._done.set()

    def _go_on(self, done: threading.Event) -> None:
        for _ in range(round(LONGEST_S / TELL_S)):
            if done.wait(TELL_S):
                return
            self.tell()


def _shapes(inputs: tuple[Any, ...]) -> tuple[tuple[int, ...], ...]:
    latents_BCTHW, _reference, _time, _positions, context, _audio = inputs
    return tuple(latents_BCTHW.shape), tuple(context[0].text.key.shape)
