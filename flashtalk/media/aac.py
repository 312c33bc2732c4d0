"""Sound to AAC on one grid of 1024 samples that runs through all segments. Called by media/encode.py.

Each segment has a fresh encoder (its bytes depend on the given samples only), which first hears some sound again; those
packets are thrown away. After 2 frames it decides on the same windows as an encoder that never stopped (no click),
after `WARM_UP` frames it has about the same noise. Packet k decodes to samples [(k - 1) * 1024, k * 1024) and is made
when (k + 2) * 1024 samples are there (its window and the look-ahead), so that 2048 to 3071 samples are held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import Flags

from flashtalk.media.boxes import Sample
from flashtalk.media.encoders import encoder_errors, new_encoder

FRAME = 1024
"""Samples of one packet, and of the silence that the encoder puts in front."""
WARM_UP = 8
"""Frames that a new encoder hears before its packets count."""


@dataclass(frozen=True)
class Held:
    """Sound not finished yet. next_packet: its number; tail_CS: from the warm-up's start to the last sample given."""

    next_packet: int
    tail_CS: np.ndarray

    @property
    def first_frame(self) -> int:
        """Frame of 1024 samples at which the tail begins."""
        return max(0, self.next_packet - 1 - WARM_UP)

    @property
    def samples_given(self) -> int:
        """Samples since the very start."""
        return self.first_frame * FRAME + self.tail_CS.shape[1]

    def plus(self, samples_CS: np.ndarray) -> Held:
        """With more sound behind."""
        return Held(self.next_packet, np.concatenate((self.tail_CS, samples_CS), axis=1))

    def advanced(self, packets: int) -> Held:
        """After `packets` were written; what no later warm-up needs is dropped."""
        after = Held(self.next_packet + packets, self.tail_CS)
        gone = (after.first_frame - self.first_frame) * FRAME
        return Held(after.next_packet, self.tail_CS[:, gone:].copy())


class SoundEncoder:
    """Settings of the sound. bit_rate in bits a second for all channels."""

    def __init__(self, sample_rate: int, channels: int, bit_rate: int) -> None:
        self._sample_rate, self._channels, self._bit_rate = sample_rate, channels, bit_rate
        self._what = f"sound of {sample_rate} Hz, {channels} channel(s), {bit_rate} bits a second"
        self.config = bytes(self._open().extradata or b"")

    def start(self) -> Held:
        """Nothing heard yet."""
        return Held(0, np.zeros((self._channels, 0), np.float32))

    def encode(self, held: Held) -> tuple[list[Sample], Held]:
        """All packets whose sound and look-ahead are there."""
        frames = held.tail_CS.shape[1] // FRAME
        packets = self._packets(held, held.tail_CS[:, : frames * FRAME])
        return [Sample(data, FRAME, True) for data in packets], held.advanced(len(packets))

    def finish(self, held: Held) -> list[Sample]:
        """The rest; the last sample is shortened so that all durations sum to 1024 + the samples given."""
        given = held.samples_given
        if not given:
            return []
        last_packet = -(-given // FRAME)
        length = (last_packet + 2 - held.first_frame) * FRAME
        padding = ((0, 0), (0, length - held.tail_CS.shape[1]))
        packets = self._packets(held, np.pad(held.tail_CS, padding))
        samples = [Sample(data, FRAME, True) for data in packets]
        return [*samples[:-1], samples[-1]._replace(duration=given - (last_packet - 1) * FRAME)]

    def _packets(self, held: Held, sound_CS: np.ndarray) -> list[bytes]:
        """Packets from `held.next_packet` on of whole frames that begin at `held.first_frame`."""
        warm_up = held.next_packet - held.first_frame
        frames = sound_CS.shape[1] // FRAME
        if frames - 1 <= warm_up:
            return []
        encoder = self._open()
        made = []
        with encoder_errors(self._what):
            for index in range(frames):
                made += encoder.encode(self._frame(sound_CS[:, index * FRAME : (index + 1) * FRAME], index))
        assert len(made) == frames - 1
        assert made[0].pts == -FRAME
        return [bytes(packet) for packet in made[warm_up:]]

    def _frame(self, sound_CS: np.ndarray, index: int) -> AudioFrame:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound_CS), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._sample_rate, index * FRAME
        frame.time_base = Fraction(1, self._sample_rate)
        return frame

    @property
    def _layout(self) -> str:
        return "mono" if self._channels == 1 else "stereo"

    def _open(self) -> AudioCodecContext:
        encoder = new_encoder("aac")
        assert isinstance(encoder, AudioCodecContext)
        encoder.sample_rate, encoder.bit_rate = self._sample_rate, self._bit_rate
        encoder.format, encoder.layout = "fltp", self._layout
        encoder.time_base = Fraction(1, self._sample_rate)
        encoder.flags |= Flags.global_header | Flags.bitexact  # bitexact: no name of the library in the stream
        with encoder_errors(self._what):
            encoder.open()
        return encoder
