"""Laws of the file: plays while it grows, survives any kill, and a resumed film equals one that never stopped."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flashtalk.errors import ConfigError, EngineError, FlashTalkError, InputError, SessionClosed
from flashtalk.media.boxes import boxes_in
from flashtalk.media.encode import SegmentEncoder
from flashtalk.media.mp4 import Mp4Writer, part_path
from flashtalk.media.part_file import PartFile, plain_errors
from flashtalk.media.progressive import write_progressive
from tests.media.films import TINY, Chunk, chunks_of, decode, segments_of

COUNTS = [3, 1, 7, 2, 5]
FRAMES = sum(COUNTS)


@pytest.fixture(scope="module")
def chunks() -> list[Chunk]:
    return chunks_of(COUNTS)


@pytest.fixture(scope="module")
def whole(chunks: list[Chunk], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The finished film of a run that never stopped."""
    path = tmp_path_factory.mktemp("whole") / "film.mp4"
    with Mp4Writer(path, TINY) as writer:
        for chunk in chunks:
            writer.write(*chunk)
    assert not part_path(path).exists()
    return path.read_bytes()


def film_after(folder: Path, chunks: list[Chunk], written: int) -> tuple[Path, dict]:
    """A film of which `written` chunks are there and then the program died; its checkpoint, through JSON."""
    path = folder / "film.mp4"
    writer = Mp4Writer(path, TINY)
    for chunk in chunks[:written]:
        writer.write(*chunk)
    state = json.loads(json.dumps(writer.checkpoint()))
    writer.suspend()
    return path, state


def finish(path: Path, state: dict, chunks: list[Chunk]) -> bytes:
    with Mp4Writer.resume(path, state) as writer:
        for chunk in chunks:
            writer.write(*chunk)
    return path.read_bytes()


def test_the_finished_film_says_its_length_first(whole: bytes, chunks: list[Chunk]) -> None:
    assert [kind for kind, _ in boxes_in(whole)] == [b"ftyp", b"moov", b"mdat"]
    film = decode(whole)
    assert film.frame_times_s == [Fraction(n, 25) for n in range(FRAMES)]
    assert film.duration_s == Fraction(FRAMES, 25)
    assert film.sound_start_s == 0
    assert 0 <= film.sound_CS.shape[1] - sum(len(samples) for _, samples in chunks) < 1024


def test_the_finished_film_is_what_the_segments_were(whole: bytes, chunks: list[Chunk]) -> None:
    segments, film = decode(b"".join(segments_of(chunks))), decode(whole)
    np.testing.assert_array_equal(film.frames_FHWC, segments.frames_FHWC)
    np.testing.assert_array_equal(film.sound_CS, segments.sound_CS)


@pytest.mark.parametrize(("rate", "fps"), [(44100, 25), (48000, 30), (16000, 24)])
def test_length_is_exact_for_any_clocks(tmp_path: Path, rate: int, fps: int) -> None:
    media = replace(TINY, sample_rate=rate, fps=fps)
    with Mp4Writer(tmp_path / "film.mp4", media) as writer:
        for frames_FHWC, samples in chunks_of([5, 7], media):
            writer.write(frames_FHWC, samples[: len(samples) // 2])
    assert abs(decode(tmp_path / "film.mp4").duration_s - Fraction(12, fps)) <= Fraction(1, 1_000_000)


def test_large_films_have_wide_offsets(tmp_path: Path, chunks: list[Chunk]) -> None:
    path, _ = film_after(tmp_path, chunks, len(chunks))
    encoder = SegmentEncoder(TINY)
    films = []
    for wide in (False, True):
        target = tmp_path / f"{wide}.mp4"
        with part_path(path).open("rb") as source, target.open("wb") as file:
            write_progressive(source, file, encoder.tracks, encoder.movie_timescale, wide=wide)
        films.append(decode(target))
    data = target.read_bytes()
    at = data.index(b"mdat") - 4
    assert b"co64" in data
    assert struct.unpack_from(">I4sQ", data, at) == (1, b"mdat", len(data) - at)
    np.testing.assert_array_equal(films[0].frames_FHWC, films[1].frames_FHWC)
    np.testing.assert_array_equal(films[0].sound_CS, films[1].sound_CS)


def test_a_film_without_sound_has_no_sound_track(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "film.mp4", TINY) as writer:
        writer.write(np.zeros((2, 64, 64, 3), np.uint8), np.zeros(0, np.float32))
    data = (tmp_path / "film.mp4").read_bytes()
    assert b"mp4a" not in data
    assert [kind for kind, _ in boxes_in(data)] == [b"ftyp", b"moov", b"mdat"]
    assert len(decode(data).frames_FHWC) == 2


@pytest.mark.parametrize("written", range(len(COUNTS) + 1))
@pytest.mark.parametrize("tear", ["nothing", "half a segment", "two segments", "rubbish"])
def test_resumed_equals_never_stopped(
    tmp_path: Path, chunks: list[Chunk], whole: bytes, written: int, tear: str
) -> None:
    path, state = film_after(tmp_path, chunks, written)
    with part_path(path).open("ab") as part:
        later = b"".join(segments_of(chunks)[written + 1 :][:2])
        part.write(
            {"nothing": b"", "half a segment": later[:300], "two segments": later, "rubbish": b"\xff" * 99}[tear]
        )
    Mp4Writer.resume(path, state).suspend()
    assert part_path(path).stat().st_size == state["bytes"]
    assert finish(path, state, chunks[written:]) == whole


def test_resumed_after_the_last_step_equals_never_stopped(tmp_path: Path, chunks: list[Chunk], whole: bytes) -> None:
    """Killed after the film was in place but before the part file was gone."""
    path, state = film_after(tmp_path, chunks, len(chunks))
    part = part_path(path).read_bytes()
    assert finish(path, state, []) == whole
    part_path(path).write_bytes(part)
    assert finish(path, state, []) == whole


_WRITE = """
import os, resource, signal, sys
from pathlib import Path
from flashtalk.media.encode import SegmentEncoder
from flashtalk.media.mp4 import Mp4Writer
from tests.media.films import TINY, chunks_of

folder, counts = Path(sys.argv[1]), [int(count) for count in sys.argv[2].split(",")]
chunks = chunks_of(counts)
for limit in map(int, sys.argv[3].split(",")):
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        writer = Mp4Writer(folder / f"{limit}.mp4", TINY)
        for chunk in chunks:
            writer.write(*chunk)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGXFSZ, status
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kills by a limit on the size of files")
def test_a_kill_at_any_byte_leaves_a_film_that_plays(tmp_path: Path, chunks: list[Chunk], whole: bytes) -> None:
    segments = segments_of(chunks)
    ends = np.cumsum([len(segment) for segment in segments[:-1]])
    rng = np.random.default_rng(0)
    around = [int(end) + step for end in ends[:-1] for step in (1, 6, 40, 150, 220)]
    limits = sorted({*around, *rng.integers(ends[0] + 1, ends[-1] - 1, 20).tolist()})
    command = [sys.executable, "-c", _WRITE, str(tmp_path), ",".join(map(str, COUNTS)), ",".join(map(str, limits))]
    subprocess.run(command, check=True)
    frames = decode(whole).frames_FHWC
    for limit in limits:
        part = part_path(tmp_path / f"{limit}.mp4")
        assert part.stat().st_size == limit
        complete = sum(COUNTS[: int(np.searchsorted(ends, limit, side="right")) - 1])
        if complete:
            np.testing.assert_array_equal(decode(part).frames_FHWC, frames[:complete])


_WRITE_ON = """
import sys
from flashtalk.media.encode import SegmentEncoder
from flashtalk.media.mp4 import Mp4Writer
from tests.media.films import TINY, chunks_of

writer = Mp4Writer(sys.argv[1], TINY)
while True:
    writer.write(*chunks_of([2])[0])
"""


def test_a_killed_program_leaves_a_film_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    program = subprocess.Popen([sys.executable, "-c", _WRITE_ON, str(path)])
    deadline = time.monotonic() + 30
    while not part_path(path).exists() or part_path(path).stat().st_size < 20_000:
        assert time.monotonic() < deadline
        assert program.poll() is None
        time.sleep(0.01)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    film = decode(part_path(path))
    assert len(film.frames_FHWC) >= 10
    assert film.frame_times_s == [Fraction(n, 25) for n in range(len(film.frames_FHWC))]


@pytest.fixture
def file_size_limit():
    """Set how large a file may become in this process, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing(tmp_path: Path, chunks: list[Chunk], whole: bytes, file_size_limit) -> None:
    path = tmp_path / "film.mp4"
    with Mp4Writer(path, TINY) as writer:
        writer.write(*chunks[0])
        before, state = part_path(path).read_bytes(), writer.checkpoint()
        file_size_limit(len(before) + 100)
        with pytest.raises(EngineError) as caught:
            writer.write(*chunks[1])
        file_size_limit(None)
        assert caught.value.code == "disk_full"
        assert part_path(path).read_bytes() == before
        assert writer.checkpoint() == state
        for chunk in chunks[1:]:
            writer.write(*chunk)
    assert path.read_bytes() == whole


def test_a_failed_end_loses_nothing(tmp_path: Path, chunks: list[Chunk], whole: bytes, file_size_limit) -> None:
    """No room for the last sound, then a folder in the way of the finished film, then no room for it, then success."""
    path, in_the_way = tmp_path / "film.mp4", tmp_path / "film.finishing.mp4"
    path.write_bytes(b"the old film")
    writer = Mp4Writer(path, TINY)
    for chunk in chunks:
        writer.write(*chunk)

    def close_fails(code: str) -> None:
        with pytest.raises(EngineError) as caught:
            writer.close()
        file_size_limit(None)
        assert caught.value.code == code
        assert path.read_bytes() == b"the old film"
        assert len(decode(part_path(path)).frames_FHWC) == FRAMES

    file_size_limit(part_path(path).stat().st_size + 20)
    close_fails("disk_full")
    in_the_way.mkdir()
    close_fails("output_failed")
    in_the_way.rmdir()
    file_size_limit(len(whole) - 100)
    close_fails("disk_full")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["film.mp4", "film.part.mp4"]
    assert finish_again(path, writer) == whole


def finish_again(path: Path, writer: Mp4Writer) -> bytes:
    """From the checkpoint taken after the sound was flushed."""
    state = json.loads(json.dumps(writer.checkpoint()))
    writer.suspend()
    return finish(path, state, [])


def test_appending_nothing_writes_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "part", create=True)
    part.append(b"")
    part.close()
    assert not (tmp_path / "part").read_bytes()


def test_an_error_in_between_leaves_a_film_to_resume(tmp_path: Path, chunks: list[Chunk], whole: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the old film")
    states = []

    def film_that_fails() -> None:
        with Mp4Writer(path, TINY) as writer:
            writer.write(*chunks[0])
            states.append(writer.checkpoint())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        film_that_fails()
    assert path.read_bytes() == b"the old film"
    assert len(decode(part_path(path)).frames_FHWC) == COUNTS[0]
    assert finish(path, states[0], chunks[1:]) == whole


def test_one_writer_at_a_time(tmp_path: Path, chunks: list[Chunk]) -> None:
    path = tmp_path / "film.mp4"
    with Mp4Writer(path, TINY) as writer:
        writer.write(*chunks[0])
        for second in (lambda: Mp4Writer(path, TINY), lambda: Mp4Writer.resume(path, writer.checkpoint())):
            with pytest.raises(InputError) as caught:
                second()
            assert caught.value.code == "output_busy"
    assert len(decode(path).frames_FHWC) == COUNTS[0]


def test_nothing_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, Mp4Writer(tmp_path / "film.mp4", TINY):
        pass
    assert caught.value.code == "empty_output"
    assert not list(tmp_path.iterdir())


def test_closed_is_closed(tmp_path: Path, chunks: list[Chunk]) -> None:
    writer = Mp4Writer(tmp_path / "film.mp4", TINY)
    writer.write(*chunks[0])
    writer.close()
    writer.close()
    with pytest.raises(SessionClosed):
        writer.write(*chunks[1])
    with pytest.raises(SessionClosed):
        writer.checkpoint()


@pytest.mark.parametrize(
    ("name", "code"), [("film.avi", "output_name"), ("film", "output_name"), ("none/film.mp4", "output_folder")]
)
def test_names_that_cannot_be(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        Mp4Writer(tmp_path / name, TINY)
    assert caught.value.code == code
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    part_path(tmp_path / "film.mp4").mkdir()
    with pytest.raises(EngineError) as caught:
        Mp4Writer(tmp_path / "film.mp4", TINY)
    assert caught.value.code == "output_failed"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "Permission denied"), "output_forbidden"),
        (OSError(28, "No space left on device"), "disk_full"),
        (OSError(5, "Input/output error"), "output_failed"),
    ],
)
def test_what_the_system_says_in_plain_words(error: OSError, code: str) -> None:
    with pytest.raises(FlashTalkError) as caught, plain_errors("film.mp4"):
        raise error
    assert caught.value.code == code
    assert "film.mp4" in str(caught.value)


def test_resume_refuses_what_it_cannot_continue(tmp_path: Path, chunks: list[Chunk]) -> None:
    path, state = film_after(tmp_path, chunks, 2)
    part = part_path(path)
    good = part.read_bytes()

    def code_of(state: dict, data: bytes | None) -> str:
        part.unlink(missing_ok=True) if data is None else part.write_bytes(data)
        with pytest.raises(EngineError) as caught:
            Mp4Writer.resume(path, state)
        assert data is None or part.read_bytes() == data, "a refused file must not be touched"
        return caught.value.code

    turned = good[:700] + bytes([good[700] ^ 1]) + good[701:]
    assert code_of(state, None) == "part_missing"
    assert code_of(state, good[:-1]) == "part_damaged"
    assert code_of(state, turned) == "part_damaged"
    assert code_of({**state, "crc32": zlib.crc32(turned)}, turned) == "encoder_changed"
    assert code_of({}, good) == "state_damaged"
    assert code_of({**state, "encoder": {"format": {"width": 3}}}, good) == "state_damaged"
    part.write_bytes(good)
    Mp4Writer.resume(path, state).suspend()


def test_an_impossible_format_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Mp4Writer(tmp_path / "film.mp4", replace(TINY, width=65))
    assert not list(tmp_path.iterdir())
