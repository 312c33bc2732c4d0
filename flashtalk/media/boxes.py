"""ISO base media boxes (ISO/IEC 14496-12, -14, -15): the words of an mp4 file, as pure functions to bytes.

Used by media/encode.py (first and media segments) and media/progressive.py (the finished file).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

KEY_FLAGS, DELTA_FLAGS = 0x02000000, 0x01010000
"""Sample flags: depends on no other sample; depends on others and is no place to start."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_TRUN_FIELDS = 0x701
_TAGS = {"title": b"\xa9nam", "comment": b"\xa9cmt", "description": b"desc"}
"""Of each run: data offset; of each sample: duration, size, flags."""


class Sample(NamedTuple):
    """One coded picture or sound frame; `duration` in ticks of its track."""

    data: bytes
    duration: int
    key: bool


@dataclass(frozen=True)
class Track:
    """What every file of these settings says about one track.

    delay: ticks at the start that are decoded but not shown. entry: the box that describes the coding.
    """

    number: int
    timescale: int
    entry: bytes
    size: tuple[int, int] = (0, 0)
    delay: int = 0

    @property
    def is_video(self) -> bool:
        """Sound has no size."""
        return self.size != (0, 0)


@dataclass(frozen=True)
class Span:
    """A track's length: `media` in its own ticks (delay included), `movie` in the movie's (as shown)."""

    media: int = 0
    movie: int = 0


class Run(NamedTuple):
    """The samples of one track in one segment; `start` is the decode time in ticks."""

    track: Track
    start: int
    samples: Sequence[Sample]


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box: size, four letters, content."""
    size = 8 + sum(map(len, parts))
    return b"".join((struct.pack(">I4s", size, kind), *parts))


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes_in(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of the boxes that lie one after another in `content`."""
    at = 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + size]
        at += size


def avc_entry(width: int, height: int, sps: bytes, pps: bytes) -> bytes:
    """Description of H.264 in yuv420p, bt709, limited range, square pixels."""
    head = bytes(6) + struct.pack(">H16xHHIII", 1, width, height, 0x480000, 0x480000, 0)
    head += struct.pack(">H32xHh", 1, 24, -1)
    config = struct.pack(">B3sBBH", 1, sps[1:4], 0xFF, 0xE1, len(sps)) + sps + struct.pack(">BH", 1, len(pps)) + pps
    if sps[1] >= 100:  # High profiles say chroma format and bit depths again: 4:2:0, 8 and 8
        config += b"\xfd\xf8\xf8\x00"
    colour = box(b"colr", struct.pack(">4sHHHB", b"nclx", 1, 1, 1, 0))
    return box(b"avc1", head, box(b"avcC", config), box(b"pasp", struct.pack(">II", 1, 1)), colour)


def aac_entry(channels: int, sample_rate: int, config: bytes, bit_rate: int) -> bytes:
    """Description of AAC; `config` is the AudioSpecificConfig."""
    head = bytes(6) + struct.pack(">H8xHHIHH", 1, channels, 16, 0, sample_rate, 0)
    decoder = struct.pack(">BBBHII", 0x40, 0x15, 0, 0, bit_rate, bit_rate) + _descriptor(5, config)
    elementary = struct.pack(">HB", 2, 0) + _descriptor(4, decoder) + _descriptor(6, b"\x02")
    return box(b"mp4a", head, full_box(b"esds", 0, 0, _descriptor(3, elementary)))


def _descriptor(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes((tag, len(content))) + content


def first_segment(movie_timescale: int, tracks: Sequence[Track]) -> bytes:
    """`ftyp` and `moov` of a file whose samples come in segments."""
    nothing = Span()
    extends = [full_box(b"trex", 0, 0, struct.pack(">5I", track.number, 1, 0, 0, 0)) for track in tracks]
    traks = [trak(track, nothing, empty_tables()) for track in tracks]
    return box(b"ftyp", b"iso5", struct.pack(">I", 512), b"iso5iso6avc1mp41") + box(
        b"moov", movie_header(movie_timescale, 0, len(tracks)), *traks, box(b"mvex", *extends)
    )


def empty_tables() -> bytes:
    """Sample tables of a track whose samples come in segments."""
    none = struct.pack(">I", 0)
    pairs = [full_box(kind, 0, 0, none) for kind in (b"stts", b"stsc", b"stco")]
    return b"".join((*pairs, full_box(b"stsz", 0, 0, none, none)))


def movie_header(timescale: int, duration: int, tracks: int) -> bytes:
    """`mvhd`; no clock time is written, so that equal input gives equal files."""
    times = struct.pack(">QQIQ", 0, 0, timescale, duration)
    return full_box(b"mvhd", 1, 0, times, struct.pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), _u32(tracks + 1))


def tags(texts: Mapping[str, str]) -> bytes:
    """`udta` with title, comment and description, as players show them."""
    items = [box(_TAGS[name], box(b"data", _u32(1), _u32(0), text.encode())) for name, text in texts.items()]
    handler = full_box(b"hdlr", 0, 0, bytes(4), b"mdirappl", bytes(9))
    return box(b"udta", full_box(b"meta", 0, 0, handler, box(b"ilst", *items)))


def trak(track: Track, span: Span, tables: bytes) -> bytes:
    """One track; `tables` are the boxes of its sample table but the description."""
    volume = 0 if track.is_video else 0x100
    header = struct.pack(">QQI4xQ8x4H", 0, 0, track.number, span.movie, 0, 0, volume, 0)
    size = struct.pack(">II", *(side << 16 for side in track.size))
    return box(
        b"trak", full_box(b"tkhd", 1, 3, header, _MATRIX, size), _edits(track, span), _media(track, span, tables)
    )


def _edits(track: Track, span: Span) -> bytes:
    """Show the track from `delay` on. Before the length is known, 0 stands for "all that comes"."""
    entry = struct.pack(">IQqHH", 1, span.movie, track.delay, 1, 0)
    return box(b"edts", full_box(b"elst", 1, 0, entry))


def _media(track: Track, span: Span, tables: bytes) -> bytes:
    handler, name = (b"vide", b"video\0") if track.is_video else (b"soun", b"sound\0")
    kind = full_box(b"vmhd", 0, 1, bytes(8)) if track.is_video else full_box(b"smhd", 0, 0, bytes(4))
    here = box(b"dinf", full_box(b"dref", 0, 0, _u32(1), full_box(b"url ", 0, 1)))
    description = full_box(b"stsd", 0, 0, _u32(1), track.entry)
    undetermined = 0x55C4  # the language "und"
    return box(
        b"mdia",
        full_box(b"mdhd", 1, 0, struct.pack(">QQIQHH", 0, 0, track.timescale, span.media, undetermined, 0)),
        full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
        box(b"minf", kind, here, box(b"stbl", description, tables)),
    )


def media_segment(sequence: int, runs: Sequence[Run]) -> bytes:
    """`moof` and `mdat`: complete samples with absolute decode times. Tracks without samples are left out."""
    runs = [run for run in runs if run.samples]
    offset = len(_fragment(sequence, runs, 0)) + 8
    data = b"".join(sample.data for run in runs for sample in run.samples)
    return _fragment(sequence, runs, offset) + box(b"mdat", data)


def _fragment(sequence: int, runs: Sequence[Run], offset: int) -> bytes:
    """The `moof` of samples that begin `offset` bytes after its own start."""
    parts = [full_box(b"mfhd", 0, 0, _u32(sequence))]
    for run in runs:
        parts.append(_track_fragment(run, offset))
        offset += sum(len(sample.data) for sample in run.samples)
    return box(b"moof", *parts)


def _track_fragment(run: Run, offset: int) -> bytes:
    flags = (KEY_FLAGS if sample.key else DELTA_FLAGS for sample in run.samples)
    rows = [
        struct.pack(">III", sample.duration, len(sample.data), flag)
        for sample, flag in zip(run.samples, flags, strict=True)
    ]
    relative_to_moof = 0x020000
    return box(
        b"traf",
        full_box(b"tfhd", 0, relative_to_moof, _u32(run.track.number)),
        full_box(b"tfdt", 1, 0, struct.pack(">Q", run.start)),
        full_box(b"trun", 0, _TRUN_FIELDS, struct.pack(">Ii", len(rows), offset), *rows),
    )


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)
