"""The frames of one chunk on their way to the host, piece by piece as they are decoded. Used by pipeline/session."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flashtalk.errors import EngineError
from flashtalk.ops.streams import SideStream
from flashtalk.ops.transfer import host_room, to_host
from flashtalk.pipeline.conditioning import to_frames
from flashtalk.types import Span, no_span

OnFrames = Callable[[np.ndarray], None]
"""on_frames(frames_FHWC): some of a chunk's frames, uint8, in their order."""


@dataclass(frozen=True)
class _Piece:
    frames_FHWC: Tensor
    total: Tensor
    wait: Callable[[], None]


class Outlet:
    """Pixels go in, all frames come out in one array; `on_frames` gets each piece as soon as it is on the host.

    frames: how many come; shown: how many of them are shown, since the last frames may lie after the sound's end.
    """

    def __init__(self, frames: int, shown: int, side: SideStream, on_frames: OnFrames, span: Span = no_span) -> None:
        self._frames, self._shown = frames, shown
        self._side = side
        self._on_frames, self._span = on_frames, span
        self._room_FHWC: Tensor | None = None
        self._put = self._given = 0
        self._pieces: list[_Piece] = []

    def put(self, pixels_BCFHW: Tensor) -> None:
        """The next frames, in [-1, 1], B = 1. A GPU is not waited for here."""
        pixels_CFHW = pixels_BCFHW[0]
        with self._span("host"), self._side.work(pixels_CFHW):
            some_FHWC = self._room_for(pixels_CFHW)
            to_frames(pixels_CFHW, some_FHWC)
            total = to_host(pixels_CFHW.sum())  # NaN or inf if anything in them is
            self._pieces.append(_Piece(some_FHWC, total, self._side.mark()))
        if not self._side.waits:
            self._give()

    def wait(self) -> np.ndarray:
        """All frames [F, H, W, 3], once they are on the host. Raises EngineError (not_finite)."""
        self._give()
        assert self._room_FHWC is not None, "pixels were put"
        assert self._put == self._frames, f"{self._put} frames of {self._frames}"
        return self._room_FHWC.numpy()

    def _give(self) -> None:
        for piece in self._pieces:
            piece.wait()
            check_finite(piece.total)
            shown = min(len(piece.frames_FHWC), self._shown - self._given)
            if shown > 0:
                self._on_frames(piece.frames_FHWC[:shown].numpy())
            self._given += len(piece.frames_FHWC)
        self._pieces.clear()

    def _room_for(self, pixels_CFHW: Tensor) -> Tensor:
        _, frames, height, width = pixels_CFHW.shape
        if self._room_FHWC is None:
            self._room_FHWC = host_room((self._frames, height, width, 3), torch.uint8, pixels_CFHW.device)
        self._put += frames
        return self._room_FHWC[self._put - frames : self._put]


def check_finite(total: Tensor) -> None:
    """Raises EngineError (not_finite) if a sum over what the networks made, on the host, is no number."""
    if not math.isfinite(total.item()):
        raise EngineError("the networks gave no picture for this chunk; open the stream again", code="not_finite")


def keep_quiet(_frames_FHWC: np.ndarray) -> None:
    """Nobody waits for the frames of a chunk before all of it is there."""
