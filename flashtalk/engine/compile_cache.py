"""Where compiled kernels stay between starts, and who makes them. Called by build.py before anything is compiled and by
the engine when all is.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from torch import Tensor

from flashtalk.errors import ConfigError
from flashtalk.models.dit import DiT

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""torch takes the folder from the environment alone, Triton's inside of it, and hands it to processes that compile."""
AUTO, OFF = "auto", "off"

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


def end_later_compilers(dit: DiT) -> None:
    """End them again after the first step of each shape that comes from now on: a size, a long prompt."""
    known: set[tuple[tuple[int, ...], ...]] = set()

    def look(_dit: DiT, inputs: tuple[Any, ...], _velocity: Tensor) -> None:
        latents_BCTHW, _reference, _time, _positions, context, _audio = inputs
        shapes = (tuple(latents_BCTHW.shape), tuple(context[0].text.key.shape))
        if shapes not in known:
            known.add(shapes)
            end_compilers()

    dit.register_forward_hook(look)
