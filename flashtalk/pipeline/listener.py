"""What a session heard -> windows of features for its chunk. Used by pipeline/session.

The next chunk's may be begun beside this chunk. A file's sound is there long before; a microphone's is not, and nothing
is begun for it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from flashtalk.config import StreamConfig
from flashtalk.ops.streams import SideStream
from flashtalk.ops.transfer import to_device
from flashtalk.pipeline.networks import Networks
from flashtalk.pipeline.window import audio_windows


class Listener:
    """Holds what was begun under the very sound it is made of: any other sound does not find it."""

    def __init__(self, stream: StreamConfig, side: SideStream | None) -> None:
        self._stream, self._side = stream, side
        self._begun: tuple[np.ndarray, Tensor] | None = None

    @property
    def works_ahead(self) -> bool:
        """Whether there is a stream beside the main one."""
        return self._side is not None

    def begin(self, networks: Networks, heard_S: np.ndarray, frames: int) -> None:
        """Start on the sound of the chunk after this one; see `windows`."""
        assert self._side, "no stream to do it on"
        with self._side.work():
            self._begun = heard_S, self._listen(networks, heard_S, frames)

    def windows(self, networks: Networks, heard_S: np.ndarray, frames: int) -> Tensor:
        """The context that ends with a chunk and its look-ahead -> windows_BFKD of the chunk's frames."""
        begun, self._begun = self._begun, None
        if begun is None or begun[1].shape[1] != frames or not np.array_equal(begun[0], heard_S):
            return self._listen(networks, heard_S, frames)
        assert self._side, "it was begun there"
        self._side.join(begun[1])
        return begun[1]

    def _listen(self, networks: Networks, heard_S: np.ndarray, frames: int) -> Tensor:
        stream = self._stream
        context_frames = round(stream.audio_context_s * stream.fps)
        hidden = networks.audio_encoder(to_device(heard_S, networks.device)[None], context_frames)
        first = context_frames - stream.lookahead_frames - frames
        return audio_windows(hidden, first, frames, networks.config.dit.audio_window)
