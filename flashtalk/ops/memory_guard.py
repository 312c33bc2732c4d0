"""A device that runs out of memory, said in words. Used where sizes are the caller's choice: sessions and engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from flashtalk.errors import EngineError


@contextmanager
def out_of_memory_as_error(what: str) -> Iterator[None]:
    """Turns the device's out-of-memory into an EngineError; `what` names what was tried."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"{what} did not fit into the device's memory; choose a smaller picture or close other sessions "
            "(`flashtalk plan` tells what a config needs)",
            code="out_of_memory",
        ) from error
