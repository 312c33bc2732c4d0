"""Fragmented mp4 to one plain mp4 with its index in front (plays everywhere, shows its length), without coding again.

Called by media/mp4.py when a film is complete. Reads only what media/boxes.py writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from flashtalk.media.boxes import KEY_FLAGS, Span, Track, box, boxes_in, full_box, movie_header, tags, trak
from flashtalk.media.label import ABOUT

_COPY_BYTES = 1 << 20
_WIDE_BYTES = 0xF0000000
"""Above this much media, offsets take 64 bits."""


@dataclass
class _Samples:
    """One track's samples: rows of (duration, size, flags), and how many of them each chunk holds."""

    rows: list[np.ndarray] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)
    """Where each chunk begins in the media data."""

    def add(self, rows: np.ndarray, at: int) -> None:
        self.rows.append(rows)
        self.chunks.append(at)


@dataclass
class _Film:
    """What the segments hold: samples by track number, and the (offset, size) of their media data in the source."""

    samples: dict[int, _Samples] = field(default_factory=dict)
    pieces: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0


def write_progressive(
    source: BinaryIO, target: BinaryIO, tracks: Sequence[Track], movie_timescale: int, *, wide: bool = False
) -> None:
    """Rewrite the segments in `source` as a plain mp4. wide: 64-bit offsets even if the film is small."""
    film = _read(source)
    wide = wide or film.size > _WIDE_BYTES
    used = [track for track in tracks if track.number in film.samples]
    head = _head(film, used, movie_timescale, 0, wide)
    data_header = (
        struct.pack(">I4sQ", 1, b"mdat", film.size + 16) if wide else struct.pack(">I4s", film.size + 8, b"mdat")
    )
    target.write(_head(film, used, movie_timescale, len(head) + len(data_header), wide))
    target.write(data_header)
    for offset, size in film.pieces:
        _copy(source, target, offset, size)


def _read(source: BinaryIO) -> _Film:
    film = _Film()
    source.seek(0)
    while len(header := source.read(8)) == 8:
        size, kind = struct.unpack(">I4s", header)
        if kind == b"moof":
            _add_segment(film, source.read(size - 8))
        else:
            if kind == b"mdat":
                film.pieces.append((source.tell(), size - 8))
                film.size += size - 8
            source.seek(size - 8, 1)
    return film


def _add_segment(film: _Film, moof: bytes) -> None:
    at = film.size
    for kind, content in boxes_in(moof):
        if kind != b"traf":
            continue
        parts = dict(boxes_in(content))
        (number,) = struct.unpack_from(">I", parts[b"tfhd"], 4)
        rows = np.frombuffer(parts[b"trun"], ">u4", offset=12).reshape(-1, 3)
        film.samples.setdefault(number, _Samples()).add(rows, at)
        at += int(rows[:, 1].sum())


def _head(film: _Film, tracks: Sequence[Track], timescale: int, base: int, wide: bool) -> bytes:
    """`ftyp` and `moov` for media data that begins at byte `base`."""
    spans = [_span(film.samples[track.number], track, timescale) for track in tracks]
    traks = [
        trak(track, span, _tables(film.samples[track.number], track, base, wide))
        for track, span in zip(tracks, spans, strict=True)
    ]
    header = movie_header(timescale, max(span.movie for span in spans), max(track.number for track in tracks))
    brands = box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    return brands + box(b"moov", header, *traks, tags(ABOUT))


def _span(samples: _Samples, track: Track, movie_timescale: int) -> Span:
    media = sum(int(rows[:, 0].sum()) for rows in samples.rows)
    return Span(media, (media - track.delay) * movie_timescale // track.timescale)


def _tables(samples: _Samples, track: Track, base: int, wide: bool) -> bytes:
    rows = np.concatenate(samples.rows)
    counts = np.array([len(rows) for rows in samples.rows])
    first_of_run, length = _runs(counts)
    chunk_rows = np.stack((first_of_run + 1, counts[first_of_run], np.ones_like(length)), axis=1)
    first_of_run, length = _runs(rows[:, 0])
    time_rows = np.stack((length, rows[first_of_run, 0]), axis=1)
    offsets = np.array(samples.chunks, np.int64) + base
    kinds = (b"co64", ">u8") if wide else (b"stco", ">u4")
    tables = [_table(b"stts", time_rows), _table(b"stsc", chunk_rows), _table(kinds[0], offsets, kinds[1])]
    if track.is_video:
        tables.append(_table(b"stss", np.flatnonzero(rows[:, 2] == KEY_FLAGS) + 1))
    sizes = struct.pack(">II", 0, len(rows)) + rows[:, 1].astype(">u4").tobytes()
    return b"".join((*tables, full_box(b"stsz", 0, 0, sizes)))


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index of the first, count) of each run of equal values."""
    first = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    return first, np.diff(np.append(first, len(values)))


def _table(kind: bytes, rows: np.ndarray, dtype: str = ">u4") -> bytes:
    return full_box(kind, 0, 0, struct.pack(">I", len(rows)), rows.astype(dtype).tobytes())


def _copied(source: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        piece = source.read(min(size, _COPY_BYTES))
        assert piece
        size -= len(piece)
        yield piece


def _copy(source: BinaryIO, target: BinaryIO, offset: int, size: int) -> None:
    source.seek(offset)
    target.writelines(_copied(source, size))
