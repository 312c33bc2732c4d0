"""Laws of the plain mode: Gradio's recordings in, one MPEG-TS film out, from the same live session."""

from __future__ import annotations

import io
import struct
import threading
import time
import wave
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import av
import numpy as np
import pytest

from flashtalk.config import Config, StreamConfig
from flashtalk.config_app import DoorConfig, LiveConfig, UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import EngineError, InputError, Overloaded
from flashtalk.media.segments import Segment
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from flashtalk.types import VideoChunk
from flashtalk.ui import arrivals, build
from flashtalk.ui.browsers import Asker
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.live import plain
from flashtalk.ui.live.messages import Kind, Outgoing, say
from flashtalk.ui.live.plain import PIECE_S, PIECES_PER_MINUTE, Heard, PlainRoom, PlainTalk, SegmentsBox, read_piece
from flashtalk.ui.live.session import Visitor
from flashtalk.ui.live.sessions import LiveSessions
from flashtalk.ui.tabs import microphone
from flashtalk.ui.why import CHINESE
from tests.serving.fakes import FakeHouse
from tests.ui.live_kit import RATE


@pytest.fixture(scope="module")
def client(tiny_config: Config) -> Iterator[Client]:
    with connect(tiny_config, isolated=False) as opened:
        yield opened


def test_segments_are_one_film_with_its_sound(client: Client) -> None:
    sessions = LiveSessions(client, LiveConfig())
    session = sessions.open(Visitor(np.full((64, 64, 3), 99, np.uint8)), "me", Asker())
    talk = PlainTalk(session)
    segments: list[Segment] = []
    for segment in talk.segments():
        if not segments:
            assert talk.hear((0.3 * np.sin(np.arange(16000) * 0.2)).astype(np.float32), 0.0)
        segments.append(segment)
        if len(segments) == 7:
            break
    assert session.join(5)
    film = b"".join(segment.data for segment in segments)
    with av.open(io.BytesIO(film), format="mpegts") as opened:
        times = [float(frame.pts * frame.time_base) for frame in opened.decode(video=0)]
    assert len(times) == 12 + 3 * 28
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-4)
    assert sum(segment.duration_s for segment in segments) == pytest.approx(len(times) / 25)
    assert max(segment.duration_s for segment in segments) <= 1, "the length that the list names would change"
    with av.open(io.BytesIO(film), format="mpegts") as opened:
        sound_S = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
    assert np.abs(sound_S).max() > 0.2


def test_a_stream_in_the_place_of_another_goes_on_in_the_same_film() -> None:
    """A cheaper one, or one after the engine was lost: players of one list know no second beginning."""
    session = mock.Mock()
    PlainTalk(session)
    (_, make_packer), _ = session.attach.call_args
    chunk = VideoChunk(0, 0, np.full((12, 64, 64, 3), 128, np.uint8), np.zeros(12 * 640, np.float32), RATE, 25)
    film = b""
    for steps in (4, 2):
        packer = make_packer(StreamConfig(width=64, height=64, steps=steps), LiveConfig())
        film += b"".join(part.data for part in packer.pack(chunk, 0.0))
    with av.open(io.BytesIO(film), format="mpegts") as opened:
        times = [float(frame.pts * frame.time_base) for frame in opened.decode(video=0)]
    np.testing.assert_allclose(np.diff(times), [0.04] * 23, atol=1e-4)


def test_lost_pieces_are_told_once_and_late_ones_are_not_lost() -> None:
    heard, late = Heard(), np.random.default_rng(0).uniform(0, 1.0, 100)
    assert all(heard.all_of(PIECE_S, index * PIECE_S + late[index]) for index in range(100))
    told = [heard.all_of(PIECE_S, index * PIECE_S) for index in range(104, 130)]  # four pieces never came
    assert told == [False] + [True] * 25


def test_a_refused_microphone_gives_its_seat_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_UNHEARD_S", 2.0)
    sessions = LiveSessions(client, LiveConfig())
    session = sessions.open(Visitor(np.full((64, 64, 3), 99, np.uint8)), "me", Asker())
    talk = PlainTalk(session)
    coming = talk.segments()
    seen = [next(coming).duration_s for _ in range(2)]
    talk.hear(np.zeros(1600, np.float32), 0.0)
    with pytest.raises(InputError, match="Allow it") as caught:
        seen.extend(segment.duration_s for segment in coming)
    assert caught.value.code == "microphone_silent"
    assert sum(seen[2:]) == pytest.approx(2.0, abs=1.0), "from the last recording on"
    assert session.join(5)
    assert client.status().seats_used == 0


def test_last_words_of_a_session_reach_the_page() -> None:
    box = SegmentsBox()
    box.put(say("notice", code="slower", message="not for this page"))
    box.put(say("error", code="overloaded", message="All seats are taken."))

    class Ended:
        ended = True

        def close(self) -> None:
            pass

    with pytest.raises(InputError, match="All seats") as caught:
        list(box.segments(Ended()))  # type: ignore[arg-type]
    assert caught.value.code == "overloaded"


def test_a_talk_brings_its_address_the_pieces_that_it_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Talk:
        def __init__(self, _session: object) -> None:
            pass

        def segments(self) -> Generator[Segment]:
            yield Segment(b"", 1.0)

    given: list[tuple[str, int]] = []

    @contextmanager
    def more(_rate: RateLimit, address: str, per_minute: int) -> Iterator[None]:
        given.append((address, per_minute))
        yield
        given.clear()

    monkeypatch.setattr(microphone, "PlainTalk", Talk)
    monkeypatch.setattr(LiveSessions, "open", lambda *_: None)
    monkeypatch.setattr(RateLimit, "more", more)
    with FakeHouse(load_config("cpu")) as house:
        blocks = build.build_app(house, UiConfig(folder=str(tmp_path)))
    talk = next(one.fn for one in blocks.fns.values() if one.fn and one.fn.__qualname__.endswith(".talk"))
    coming = talk("anna", SimpleNamespace(session_hash="me", client=SimpleNamespace(host="192.0.2.7")))
    assert next(coming).duration_s == 1.0
    assert given == [("192.0.2.7", PIECES_PER_MINUTE)]
    assert list(coming) == given == []


def test_one_address_may_bring_the_files_of_all_its_talks() -> None:
    files = LiveConfig().per_address * PIECES_PER_MINUTE * DoorConfig().upload_age_s / 60
    assert files * 1.1 < arrivals._MOST_FILES


def lasting(room: PlainRoom, size: int, ended: list[int]) -> Iterator[Segment]:
    """A talk without end in pieces of so many bytes."""

    def segments() -> Generator[Segment]:
        try:
            while True:
                yield Segment(bytes(size), 1.0)
        finally:
            ended.append(size)

    return room.within(segments())


def test_talks_that_go_on_take_no_more_memory_than_films_may() -> None:
    room, ended = PlainRoom(1000), list[int]()
    alone = lasting(room, 100, ended)
    assert all(next(alone) for _ in range(5))
    with pytest.raises(Overloaded, match="record again") as refused:
        next(alone)
    assert refused.value.code in CHINESE
    largest, *others = (lasting(room, size, ended) for size in (90, 60, 60, 60, 60))
    assert all(next(talk) for _ in range(3) for talk in (largest, *others))
    with pytest.raises(Overloaded):
        next(largest)
    assert ended == [100, 90]
    assert all(next(talk) for talk in others), "there is room again"


def test_a_film_that_nobody_takes_ends_its_session() -> None:
    box = SegmentsBox()
    for _ in range(64):
        box.put(Outgoing(b"", Kind.SEGMENT))
    with pytest.raises(EngineError):
        box.put(Outgoing(b"", Kind.SEGMENT))
    closing = threading.Thread(target=box.close, daemon=True)
    closing.start()
    closing.join(2)
    assert not closing.is_alive()


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_recordings_are_read_at_any_rate_even_with_a_length_that_lies(tmp_path: Path, rate: int) -> None:
    tone_S = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 10) / rate) * 32767).astype("<i2")
    path = tmp_path / "piece.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone_S.tobytes())
    data = bytearray(path.read_bytes())
    data[40:44] = (0x7FFFFFF0).to_bytes(4, "little")  # as browsers write while they record
    path.write_bytes(data)
    samples_S = read_piece(str(path))
    assert len(samples_S) == pytest.approx(1600, abs=1)
    assert np.sqrt(np.mean(samples_S**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)


def test_what_claims_many_channels_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "piece.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1000, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2000))

    def never(*_: object) -> bytes:
        raise AssertionError("it was read")

    monkeypatch.setattr(wave.Wave_read, "readframes", never)
    with pytest.raises(InputError, match="16-bit PCM"):
        read_piece(str(path))


def test_a_file_of_nothing_but_words_before_its_sound_takes_no_time(tmp_path: Path) -> None:
    """Looking at each of them took a second for every six megabytes, in which nobody else was served."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 48000, 96000, 2, 16)
    (path := tmp_path / "a.wav").write_bytes(b"RIFF\xff\xff\xff\x7fWAVEfmt " + form + 500_000 * b"junk\0\0\0\0")
    began_s = time.process_time()
    with pytest.raises(InputError) as caught:
        read_piece(str(path))
    assert caught.value.code == "audio_unreadable"
    assert time.process_time() - began_s < 0.1


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt \0\0\0\0", bytes(1000)])
def test_other_files_are_refused_with_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "piece.wav"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_piece(str(path))
    assert str(tmp_path) not in str(caught.value)
