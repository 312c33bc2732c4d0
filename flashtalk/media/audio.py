"""Sound files in: header, streaming decode, cleaning, mean downmix, exact resampling. Called by the command line, the
app and the engine's file sources; live input calls `clean_pcm`.

InputError codes: `audio_unreadable` (no local file, damaged), `audio_empty`, `audio_no_stream`, `audio_format` (kind of
file or coding not supported), `audio_limits` (bytes, rate, channels, duration), `audio_not_finite` (> 1 % NaN or Inf).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from flashtalk.errors import InputError
from flashtalk.media.demux import AudioInfo, Sound, open_sound, too_long
from flashtalk.media.limits import AUDIO_LIMITS, AudioLimits
from flashtalk.media.pcm import FiniteGauge, Samples, clean_pcm, clean_samples, mix
from flashtalk.media.resample import Resampler

__all__ = ["AudioInfo", "clean_pcm", "probe_audio", "read_audio", "read_audio_all"]

_MAX_PLANES = 7
"""PyAV (18.1) reads past the end of a frame's list of planes if there are more, and crashes; such frames are packed."""

_GAUGE_GRACE_S = 10
"""Bad samples are judged as if the sound lasted at least this long, until its end is known."""


def probe_audio(path: str | Path | BinaryIO, limits: AudioLimits = AUDIO_LIMITS) -> AudioInfo:
    """Container, codec, rate, channels and duration from the header alone. InputError: see the file's top."""
    with open_sound(path, limits) as sound:
        return sound.info


def read_audio(
    path: str | Path | BinaryIO,
    *,
    sample_rate: int = 16000,
    channels: int = 1,
    start_sample: int = 0,
    limits: AudioLimits = AUDIO_LIMITS,
) -> Iterator[Samples]:
    """Decode as a stream: blocks of one second (the last is shorter) of float32 in [-1, 1], memory constant.

    channels 1: blocks [S], the mean of all channels. channels 2: blocks [S, 2], stereo as it is, anything else its mean
    on both sides. The total is round(samples * sample_rate / file's rate). `start_sample` drops so many output samples;
    what follows is bit for bit the tail of a read from the start. Errors (see the file's top) come while iterating.
    """
    if channels not in (1, 2) or start_sample < 0:
        raise InputError(
            f"channels {channels}, start_sample {start_sample}: give 1 or 2 channels and start at 0 or later",
            code="audio_format",
        )
    with open_sound(path, limits) as sound:
        pieces = _resampled(_cleaned(sound, channels), sample_rate, channels)
        for block_CS in _blocks(_skipped(pieces, start_sample), sample_rate):
            yield block_CS[0] if channels == 1 else np.ascontiguousarray(block_CS.T)


def read_audio_all(
    path: str | Path,
    sample_rate: int = 16000,
    *,
    max_duration_s: float = 600.0,
    limits: AudioLimits = AUDIO_LIMITS,
) -> Samples:
    """A short sound as one array [S], mono; `audio_limits` beyond `max_duration_s`."""
    limits = replace(limits, max_duration_s=min(max_duration_s, limits.max_duration_s))
    return np.concatenate(list(read_audio(path, sample_rate=sample_rate, limits=limits)))


def _cleaned(sound: Sound, channels: int) -> Iterator[tuple[int, Samples]]:
    """(rate, samples [channels, S]) of each frame. Cleaned before anything is filtered, so that NaN cannot spread."""
    gauge, heard_s = FiniteGauge(), 0.0
    for frame in sound.frames():
        raw_CS = _frame_array(frame)[:, : sound.end_within(frame)]
        clean_CS = clean_samples(raw_CS, gauge)
        gauge.check(at_least=_GAUGE_GRACE_S * frame.sample_rate * len(raw_CS))
        heard_s += raw_CS.shape[1] / frame.sample_rate
        if heard_s > sound.limits.max_duration_s:
            raise too_long(sound.name, sound.limits)
        yield frame.sample_rate, mix(clean_CS, channels)
    gauge.check()
    if not gauge.total:
        raise InputError(f"{sound.name} holds no sound (0 samples); record it again", code="audio_empty")


def _frame_array(frame: av.AudioFrame) -> np.ndarray:
    """[C, S] of the decoder's own number type."""
    if frame.format.is_planar and frame.layout.nb_channels > _MAX_PLANES:
        packer = av.AudioResampler(format=frame.format.packed, layout=frame.layout, rate=frame.sample_rate)
        frame = packer.resample(frame)[0]
    array = frame.to_ndarray()
    return array if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels).T


def _resampled(pieces: Iterator[tuple[int, Samples]], out_rate: int, channels: int) -> Iterator[Samples]:
    """Pieces [C, S] at `out_rate`; a rate that changes inside a file (joined recordings) starts a new resampler."""
    resampler: Resampler | None = None
    for rate, samples_CS in pieces:
        if resampler is None or resampler.in_rate != rate:
            if resampler is not None:
                yield resampler.finish()
            resampler = Resampler(rate, out_rate, channels)
        yield resampler.push(samples_CS)
    if resampler is not None:
        yield resampler.finish()


def _skipped(pieces: Iterator[Samples], count: int) -> Iterator[Samples]:
    """Everything after the first `count` samples."""
    for piece_CS in pieces:
        yield piece_CS[:, count:]
        count = max(0, count - piece_CS.shape[1])


def _blocks(pieces: Iterator[Samples], size: int) -> Iterator[Samples]:
    """The same samples in blocks of `size`; the last may be shorter."""
    held: list[Samples] = []
    for piece_CS in pieces:
        held.append(piece_CS)
        if sum(part.shape[1] for part in held) >= size:
            joined_CS = np.concatenate(held, axis=1)
            whole = joined_CS.shape[1] // size * size
            yield from np.split(joined_CS[:, :whole], range(size, whole, size), axis=1)
            held = [joined_CS[:, whole:]]
    if held and (rest_CS := np.concatenate(held, axis=1)).size:
        yield rest_CS
