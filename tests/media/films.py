"""Tiny films and how to read them back; used by test_encode.py and test_mp4_resume.py."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from flashtalk.media.boxes import boxes_in
from flashtalk.media.encode import MediaFormat, SegmentEncoder

TINY = MediaFormat(width=64, height=64)
Chunk = tuple[np.ndarray, np.ndarray]


def chunks_of(frame_counts: list[int], media: MediaFormat = TINY, seed: int = 0) -> list[Chunk]:
    """Moving pictures and noisy tones, each chunk with the sound of its frames."""
    rng = np.random.default_rng(seed)
    chunks, frame = [], 0
    for count in frame_counts:
        begin, end = (at * media.sample_rate // media.fps for at in (frame, frame + count))
        time_S = np.arange(begin, end) / media.sample_rate
        tone_S = 0.3 * np.sin(2 * np.pi * 330 * time_S) + 0.05 * rng.standard_normal(end - begin)
        samples = np.repeat(tone_S[:, None].astype(np.float32), media.channels, axis=1)
        coarse = rng.integers(0, 255, (count, media.height // 16, media.width // 16, 3), dtype=np.uint8)
        chunks.append((coarse.repeat(16, axis=1).repeat(16, axis=2), samples))
        frame += count
    return chunks


def segments_of(chunks: list[Chunk], media: MediaFormat = TINY) -> list[bytes]:
    """First segment, one segment for each chunk, flush."""
    encoder = SegmentEncoder(media)
    return [encoder.init_segment(), *(encoder.encode(*chunk) for chunk in chunks), encoder.flush()]


@dataclass
class Decoded:
    """What a player sees. sound_CS begins at sound_start_s."""

    frames_FHWC: np.ndarray
    frame_times_s: list[Fraction]
    sound_CS: np.ndarray
    sound_start_s: Fraction
    duration_s: Fraction | None
    """Of the container, in FFmpeg's clock of microseconds."""


def decode(film: bytes | Path) -> Decoded:
    """Read all pictures and all sound."""
    frames, times, sounds, sound_times = [], [], [], []
    with av.open(io.BytesIO(film) if isinstance(film, bytes) else str(film)) as container:
        duration = Fraction(container.duration, av.time_base) if container.duration else None
        for frame in container.decode(*container.streams.video, *container.streams.audio):
            if isinstance(frame, av.VideoFrame):
                frames.append(frame.to_ndarray(format="rgb24"))
                times.append(frame.pts * frame.time_base)
            else:
                sounds.append(frame.to_ndarray())
                sound_times.append((frame.pts * frame.time_base, frame.samples, frame.sample_rate))
    for (start, count, rate), (following, _, _) in pairwise(sound_times):
        assert following == start + Fraction(count, rate), "gap in the sound"
    sound = np.concatenate(sounds, axis=1) if sounds else np.zeros((1, 0), np.float32)
    start_s = sound_times[0][0] if sound_times else Fraction(0)
    return Decoded(np.array(frames), times, sound, start_s, duration)


@dataclass
class Fragment:
    """One track in one segment, as its boxes say. rows: (duration, size, flags) of each sample."""

    sequence: int
    start: int
    rows: np.ndarray


def fragments(segment: bytes) -> dict[int, Fragment]:
    """Track number -> fragment of one media segment."""
    found = {}
    moof = dict(boxes_in(segment))[b"moof"]
    (sequence,) = struct.unpack_from(">I", dict(boxes_in(moof))[b"mfhd"], 4)
    for kind, content in boxes_in(moof):
        if kind == b"traf":
            parts = dict(boxes_in(content))
            (number,) = struct.unpack_from(">I", parts[b"tfhd"], 4)
            (start,) = struct.unpack_from(">Q", parts[b"tfdt"], 4)
            found[number] = Fragment(
                sequence, start, np.frombuffer(parts[b"trun"], ">u4", offset=12).reshape(-1, 3).astype(int)
            )
    return found
