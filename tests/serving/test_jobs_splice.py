"""A part is put into its film by bytes that are written once, so that nothing stands still meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer

from flashtalk.media.encode import MediaFormat
from flashtalk.media.mp4 import Mp4Writer
from flashtalk.serving.jobs import splice
from flashtalk.serving.jobs.record import JobFolder, Span

FPS, RATE, CHUNK_FRAMES = 25, 48000, 8


def write_film(path: Path, chunks: int, side: int, *, sound: bool) -> None:
    """Noise: 64x64 pictures take more bytes than are held back before they are written."""
    rng = np.random.default_rng(chunks)
    with Mp4Writer(path, MediaFormat(width=side, height=side, fps=FPS, sample_rate=RATE, channels=1)) as film:
        for _ in range(chunks):
            frames_FHWC = rng.integers(0, 256, (CHUNK_FRAMES, side, side, 3), np.uint8)
            samples = 0.1 * rng.standard_normal(CHUNK_FRAMES * RATE // FPS * sound).astype(np.float32)
            film.write(frames_FHWC, samples)


def folder_of(path: Path, chunks: int, side: int = 64) -> JobFolder:
    """A film whose second chunk was made again."""
    folder = JobFolder(path)
    write_film(folder.base, chunks, side, sound=True)
    write_film(folder.clip, 1, side, sound=False)
    return folder


SPAN = Span(parent="film", first=CHUNK_FRAMES, end=2 * CHUNK_FRAMES, seed=5)


def test_pictures_lie_where_they_were_written_when_the_index_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moving them behind an index that is written last took seconds for gigabytes, and all threads waited."""
    folder, real, places = folder_of(tmp_path, 6), splice._outside, []

    def looked_at(film: InputContainer, span: Span, fps: int) -> Iterator[splice.Timed]:
        yield from real(film, span, fps)
        places.append(folder.film.with_suffix(".finishing.mp4").read_bytes().index(b"mdat"))

    monkeypatch.setattr(splice, "_outside", looked_at)
    splice.splice(folder, SPAN, FPS)
    film = folder.film.read_bytes()
    assert places == [film.index(b"mdat")]
    assert film.index(b"moov") < film.index(b"mdat"), "players need no second request"


def test_the_room_for_the_index_is_enough_for_many_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice, "_INDEX_BYTES", 4096)
    chunks = 30
    folder = folder_of(tmp_path, chunks, side=16)
    splice.splice(folder, SPAN, FPS)
    with av.open(str(folder.film)) as film:
        assert film.streams.video[0].frames == chunks * CHUNK_FRAMES
        assert sum(1 for _ in film.demux(film.streams.audio[0])) >= chunks * CHUNK_FRAMES * RATE // FPS // 1024
