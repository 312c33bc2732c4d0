"""The sound of a session on its clock: what came in, what the model hears, what goes out with each chunk.

Used by pipeline/session. Sample 0 is the session's start; sound before it is silence.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flashtalk.errors import InputError
from flashtalk.pipeline.loudness import LoudnessGain


class SoundWindow:
    """Raw sound waiting for its chunk, and the last `context_samples` of sound as the model hears it."""

    def __init__(self, context_samples: int, loudness: LoudnessGain | None) -> None:
        self._context_samples = context_samples
        self._loudness = loudness
        self._raw = np.empty(0, np.float32)
        self._raw_start = 0
        self._heard = np.zeros(context_samples, np.float32)
        self._heard_end = 0

    @property
    def end(self) -> int:
        """The sample after the last one that came in."""
        return self._raw_start + len(self._raw)

    def push(self, samples_S: np.ndarray) -> None:
        """Append sound."""
        self._raw = np.concatenate((self._raw, samples_S.astype(np.float32, copy=False)))

    def hear_until(self, end: int, ahead: int = 0) -> np.ndarray:
        """The context that ends at sample `end` [context_samples]: past sound with its gain, silence where none is.

        Its last `ahead` samples belong to later chunks: they are heard again with those, or dropped before.
        """
        self._hear(end - ahead)
        return self.peek_until(end)

    def peek_until(self, end: int) -> np.ndarray:
        """What `hear_until` will give later, while nothing has happened yet."""
        before = self.state()
        self._hear(end)
        missing = np.zeros(max(0, end - self._heard_end), np.float32)
        context = np.concatenate((self._heard, missing))[-self._context_samples :]
        self.restore(before, self._raw)
        return context

    def _hear(self, end: int) -> None:
        fresh = self._raw[self._heard_end - self._raw_start : max(0, end - self._raw_start)]
        heard = self._loudness.apply(fresh) if self._loudness else fresh
        self._heard = np.concatenate((self._heard, heard))[-self._context_samples :]
        self._heard_end += len(heard)

    def take(self, start: int, end: int) -> np.ndarray:
        """The raw samples [start, end) that go out with a chunk, fewer when the sound ends before."""
        assert start == self._raw_start, f"chunk starts at {start}, waiting sound at {self._raw_start}"
        # Views, not copies: an hour pushed in one piece would be copied again for every chunk.
        taken, self._raw = self._raw[: end - start], self._raw[end - start :]
        self._raw_start += len(taken)
        return taken.copy()

    def drop_waiting(self) -> None:
        """Forget the sound that no chunk took yet, as if it had never come."""
        self._raw = self._raw[:0].copy()

    def state(self) -> dict[str, np.ndarray]:
        """All that the future depends on but the waiting sound; arrays are never written to, so they may be kept."""
        clock = np.array([self._raw_start, self._heard_end], np.int64)
        gain = self._loudness.state() if self._loudness else {}
        return {"heard": self._heard, "clock": clock, **{f"loudness.{name}": array for name, array in gain.items()}}

    def waiting(self) -> np.ndarray:
        """The sound that no chunk took yet."""
        return self._raw

    def restore(self, state: dict[str, np.ndarray], waiting_S: np.ndarray) -> None:
        """Go on from a `state()` and its waiting sound."""
        self._heard, self._raw = state["heard"], waiting_S
        self._raw_start, self._heard_end = (int(n) for n in state["clock"])
        if self._loudness:
            prefix = "loudness."
            self._loudness.restore({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def audio_windows(hidden_BFLD: Tensor, first_frame: int, frames: int, neighbours: int) -> Tensor:
    """Features of `frames` frames from `first_frame` on, each with its neighbours, clamped at the edges.

    hidden [B, frames of context, layers, width] -> [B, frames, neighbours, layers * width].
    """
    reach = neighbours // 2
    device, last = hidden_BFLD.device, hidden_BFLD.shape[1] - 1
    centre = torch.arange(first_frame, first_frame + frames, device=device)[:, None]
    index = (centre + torch.arange(-reach, reach + 1, device=device)).clamp(0, last)
    return hidden_BFLD[:, index].flatten(3)


def check_samples(samples_S: np.ndarray) -> None:
    """Raises InputError unless it is sound: floats in one dimension, all finite."""
    if samples_S.ndim != 1 or samples_S.dtype.kind != "f":
        raise InputError(
            f"sound must be a float array of one dimension, not {samples_S.dtype} {samples_S.shape}; "
            "flashtalk.media.audio.clean_pcm converts other kinds",
            code="audio_shape",
        )
    if not np.isfinite(samples_S).all():
        raise InputError(
            "the sound holds samples that are not finite numbers; flashtalk.media.audio.clean_pcm mends them",
            code="audio_not_finite",
        )
