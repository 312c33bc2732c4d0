"""Streaming change of sample rate whose output has exactly the right length. Called by media/audio.py."""

from __future__ import annotations

import av
import numpy as np

from flashtalk.media.pcm import Samples

_LAYOUTS = {1: "mono", 2: "stereo"}


class Resampler:
    """Pieces [C, S] at `in_rate` -> pieces at `out_rate`; all of them together last round(S * out_rate / in_rate).

    A fresh one for each sound and rate. libswresample does the work; it centres its filter, so nothing is delayed.
    """

    def __init__(self, in_rate: int, out_rate: int, channels: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        self._layout = _LAYOUTS[channels]
        self._swr = av.AudioResampler(format="fltp", layout=self._layout, rate=out_rate)
        self._received = 0
        self._sent = 0

    def push(self, samples_CS: Samples) -> Samples:
        """What is ready after this piece, maybe nothing."""
        self._received += samples_CS.shape[1]
        if self.in_rate == self.out_rate or not samples_CS.size:
            return self._send(samples_CS)
        frame = av.AudioFrame.from_ndarray(samples_CS, format="fltp", layout=self._layout)
        frame.sample_rate = self.in_rate
        return self._send(_joined(self._swr.resample(frame), len(samples_CS)))

    def finish(self) -> Samples:
        """The rest, cut or padded with silence (a few samples) to the exact length."""
        channels = 1 if self._layout == "mono" else 2
        rest = _joined(self._swr.resample(None), channels)
        missing = round(self._received * self.out_rate / self.in_rate) - self._sent
        return self._send(np.pad(rest, ((0, 0), (0, max(0, missing - rest.shape[1]))))[:, :missing])

    def _send(self, samples_CS: Samples) -> Samples:
        self._sent += samples_CS.shape[1]
        return np.clip(samples_CS, -1, 1)


def _joined(frames: list[av.AudioFrame], channels: int) -> Samples:
    """Planar float frames as one array [C, S]."""
    return np.concatenate([np.zeros((channels, 0), np.float32), *(frame.to_ndarray() for frame in frames)], axis=1)
