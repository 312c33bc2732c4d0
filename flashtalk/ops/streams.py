"""A second stream of a GPU, for work beside the main one. Used by pipeline/listener.py and pipeline/outlet.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor


class SideStream:
    """Work beside the current stream of a CUDA device; where it is off, and on a CPU, work is done in its turn.

    There is one of each name a device: torch keeps memory for every stream that something ran on.
    """

    def __init__(self, device: torch.device, name: str, *, on: bool = True) -> None:
        self._device = device
        self._on_cuda = device.type == "cuda"
        self._stream = _stream(device, name) if self._on_cuda and on else None

    @property
    def waits(self) -> bool:
        """Whether what is started here is done later: on a CPU it is done at once."""
        return self._on_cuda

    @contextmanager
    def work(self, *given: Tensor) -> Iterator[None]:
        """What runs inside goes to the side stream: at once, or after all that the main stream has to do for `given`.

        What is made inside belongs to this stream: the main one may read it after `join`.
        """
        if self._stream is None:
            yield
            return
        if given:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        for tensor in given:
            tensor.record_stream(self._stream)  # its memory is not used again before this stream has read it
        with torch.cuda.stream(self._stream):
            yield

    def join(self, *made: Tensor) -> None:
        """From here on the main stream may read `made`; it waits for the side stream, the host does not."""
        if self._stream is None:
            return
        main = torch.cuda.current_stream(self._device)
        main.wait_stream(self._stream)
        for tensor in made:
            tensor.record_stream(main)

    def mark(self) -> Callable[[], None]:
        """A function that waits on the host for what was given to the stream so far."""
        if not self._on_cuda:
            return _done
        return (self._stream or torch.cuda.current_stream(self._device)).record_event().synchronize


@lru_cache
def _stream(device: torch.device, _name: str) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _done() -> None:
    """Nothing to wait for."""
