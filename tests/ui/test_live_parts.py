"""Laws of the live session's parts, on a clock of the test's own: timeline, quiet gate, outbox, messages, portraits."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashtalk.config import StreamConfig
from flashtalk.errors import InputError
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live import messages
from flashtalk.ui.live.messages import Kind, media, say
from flashtalk.ui.live.outbox import Outbox
from flashtalk.ui.live.pace import Footing, Pace
from flashtalk.ui.live.portraits import Portraits
from flashtalk.ui.live.quiet import QuietGate
from flashtalk.ui.live.run import Run
from flashtalk.ui.live.timeline import GAP_S, SLACK_S, TICK_S, Timeline
from tests.source import ROOT
from tests.ui.live_twin import FakeStream, NoPacker

RATE, PIECE = 16000, 640
PIECE_S = PIECE / RATE
PREROLL_S = 1.12


def voice(samples: int, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(np.arange(samples) * 0.3)).astype(np.float32)


def begun(now_s: float = 100.0) -> Timeline:
    timeline = Timeline(RATE, PREROLL_S, now_s)
    timeline.silence(round(PREROLL_S * RATE))
    return timeline


# The timeline.


@given(st.floats(0.985, 1.015), st.lists(st.booleans(), min_size=20, max_size=40))
def test_a_wrong_microphone_clock_is_made_up_in_pauses_and_speech_is_never_cut(
    speed: float, speaking: list[bool]
) -> None:
    timeline, now_s, spoken, kept = begun(), 100.0, 0.0, 0.0
    for talk in (*speaking, False, False):
        for _ in range(25):
            now_s += PIECE_S / speed
            piece = voice(PIECE) if talk else np.zeros(PIECE, np.float32)
            fed = timeline.hear(piece, 0, now_s)
            spoken += float(np.square(piece).sum())
            kept += float(np.square(fed).sum())
            assert np.abs(fed).max(initial=0) <= 0.2
    assert kept == pytest.approx(spoken, rel=0.01)  # only the ramp after a word's end is softened
    assert abs(timeline.ahead_s(now_s)) < SLACK_S + 2 * PIECE_S


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=20))
def test_a_silent_microphone_is_replaced_by_silence_on_time(gaps_s: list[float]) -> None:
    timeline, now_s = begun(), 100.0
    for gap_s in gaps_s:
        for _ in range(round(gap_s / 0.02)):
            now_s += 0.02
            assert not timeline.fill(now_s).any()
            assert -timeline.ahead_s(now_s) < 2 * GAP_S + TICK_S
        assert timeline.ahead_s(now_s) <= 1e-9
        timeline.hear(voice(PIECE), 0, now_s)
        now_s += PIECE_S


@given(st.lists(st.floats(0.0, 0.3), min_size=30, max_size=40))
def test_sound_that_comes_in_bursts_is_not_cut_by_silence(late_s: list[float]) -> None:
    burst, spoken, fed = 20, 0, []
    timeline = Timeline(RATE, PREROLL_S, 100.0, burst * PIECE_S)
    timeline.silence(round(PREROLL_S * RATE))
    now_s = 100.0
    for index, more_s in enumerate(late_s):
        came_s = 100.0 + (index + 1) * burst * PIECE_S + more_s
        while now_s < came_s:
            now_s += 0.02
            fed.append(timeline.fill(now_s))
        talks = index % 8 > 2
        for _ in range(burst):
            fed.append(timeline.hear(voice(PIECE) if talks else np.zeros(PIECE, np.float32), 0, now_s))
            spoken += PIECE if talks else 0
    words = np.concatenate(fed) != 0
    edges = np.flatnonzero(np.diff(words.astype(int)))
    holes = np.diff(edges)[1::2] if words[edges[0] + 1] else np.diff(edges)[::2]
    assert words.sum() == pytest.approx(spoken, rel=0.02)
    assert all(hole > 1.5 * RATE for hole in holes if hole > 2 * PIECE), "silence in the middle of a word"
    assert abs(timeline.ahead_s(now_s)) < 2 * burst * PIECE_S


@given(st.integers(0, 60), st.integers(0, 50000))
def test_an_interrupt_never_moves_the_clock(pieces: int, back: int) -> None:
    timeline, now_s = begun(), 100.0
    for index in range(pieces):
        now_s += PIECE_S
        timeline.hear(voice(PIECE), index * PIECE, now_s)
    ahead_s, position = timeline.ahead_s(now_s), max(0, timeline.fed - back)
    dropped = timeline.go_back(position)
    assert timeline.fed == position
    timeline.silence(dropped)
    assert timeline.ahead_s(now_s) == pytest.approx(ahead_s)


def test_a_late_engine_makes_pauses_shorter_but_takes_no_word() -> None:
    timeline = begun()
    assert len(timeline.hear(voice(PIECE), 0, 100.04, waiting_s=5.0)) == PIECE
    ahead_s, fed = timeline.ahead_s(100.04), timeline.fed
    for index in range(20):
        timeline.hear(np.zeros(PIECE, np.float32), 0, 100.08 + index * PIECE_S, waiting_s=5.0)
    skipped_s = 20 * PIECE_S - (timeline.fed - fed) / RATE
    assert skipped_s == pytest.approx(20 * PIECE_S, abs=0.45)  # the gate holds 0.4 s after a word
    assert skipped_s > 0.3
    assert timeline.words_lost_s == 0
    assert timeline.ahead_s(100.08 + 19 * PIECE_S) == pytest.approx(ahead_s, abs=1e-6)


def test_it_knows_when_what_is_heard_was_said() -> None:
    timeline = begun()
    for index in range(50):
        timeline.hear(voice(PIECE), index * PIECE, 100 + (index + 1) * PIECE_S)
    preroll = round(PREROLL_S * RATE)
    assert timeline.captured_at(preroll + 10 * PIECE) == 10 * PIECE
    assert timeline.captured_at(preroll + 10 * PIECE + 7) == 10 * PIECE + 7
    assert timeline.captured_at(0) is None


def test_what_a_stream_has_not_said_is_what_another_hears_first() -> None:
    stream = mock.Mock(wraps=FakeStream(lambda _chunk: 0.0), config=StreamConfig(first_chunk_frames=17))
    run = Run(stream, NoPacker(), clock_s=0.0, base=0, now_s=0.0)  # type: ignore[arg-type]
    spoken_S, piece = voice(64000), 500
    for first in range(0, len(spoken_S), piece):
        run.hear(spoken_S[first:][:piece], first, (first + piece) / RATE, 9.0)
    for _ in range(2):
        run.take(stream.advance(4.0), 4.0)
    said = run.samples_given - round(run.chunk_s * RATE)  # silence went first
    assert said % piece
    pieces = run.unsaid
    assert [first for _, first in pieces] == [said, *range(said // piece * piece + piece, len(spoken_S), piece)]
    np.testing.assert_array_equal(np.concatenate([samples_S for samples_S, _ in pieces]), spoken_S[said:])
    stream.interrupt = mock.Mock()
    run.go_back(1, 4.0)
    assert not run.unsaid, "an interrupt takes it back"


# Quiet and speech.


@given(st.floats(0.0005, 0.004))
def test_a_room_becomes_silence_and_a_voice_in_it_passes_whole(room: float) -> None:
    gate, noise = QuietGate(RATE), np.random.default_rng(0)
    for index in range(100):
        out, quiet = gate.apply((room * noise.standard_normal(PIECE)).astype(np.float32))
        if index > 75:
            assert quiet
            assert not out.any()
    out, quiet = gate.apply(voice(PIECE))
    assert not quiet
    np.testing.assert_array_equal(out[80:], voice(PIECE)[80:])
    np.testing.assert_array_equal(gate.apply(voice(PIECE))[0], voice(PIECE))
    after = [gate.apply((room * noise.standard_normal(PIECE)).astype(np.float32)) for _ in range(16)]
    assert [quiet for _, quiet in after[-3:]] == [True] * 3
    assert not after[2][1], "the end of a word must not be eaten"


# The outbox.


def group(start: int, end_s: float) -> list[messages.Outgoing]:
    """One chunk: sound and 28 pictures that end at `end_s`."""
    begin_s = end_s - 1.12
    sound = media(Kind.SOUND, 1, start, begin_s, b"", key=True, end_s=end_s)
    ends = [begin_s + 0.04 * (index + 1) for index in range(28)]
    return [sound] + [media(Kind.PICTURE, 1, i, e - 0.04, b"", key=i == 0, end_s=e) for i, e in enumerate(ends)]


def in_loop(act):
    async def run():
        return await act(Outbox(asyncio.get_running_loop(), window_s=2.0, late_s=3.0))

    return asyncio.run(run())


def all_that_waits(box: Outbox) -> list[messages.Outgoing]:
    """Taken by a browser that reports each piece."""
    taken = []
    while (message := box._take_now()) is not None:
        box.received(message.end_s)
        taken.append(message)
    return taken


def test_a_slow_browser_loses_whole_groups_of_pictures_and_no_sound() -> None:
    async def act(box: Outbox) -> None:
        taken = []
        for chunk in range(40):
            for index, message in enumerate(group(chunk, 1.12 * (chunk + 1))):
                box.put(message)
                if (chunk, index) == (38, 10):  # it catches up in the middle of a group, which stays left out
                    taken += all_that_waits(box)
        box.close()
        while (message := await box.take()) is not None:
            taken.append(message)
        sounds = [m for m in taken if m.kind is Kind.SOUND]
        assert len(sounds) == 40
        pictures = [m for m in taken if m.kind is Kind.PICTURE]
        assert box.pictures_dropped == 40 * 28 - len(pictures) > 0
        assert len(pictures) == 28
        assert all(m.key == (index % 28 == 0) for index, m in enumerate(pictures))

    in_loop(act)


def test_who_takes_nothing_for_long_or_is_told_too_much_is_given_up() -> None:
    async def act(box: Outbox) -> None:
        for chunk in range(60):
            box.put(group(chunk, 1.12 * (chunk + 1))[0])
        assert box.gave_up
        assert await box.take() is None
        box.put(say("pong", at=1))
        assert not box._waiting

    async def flood(box: Outbox) -> None:
        for number in range(2500):
            box.put(say("pong", at=number))
        assert box.gave_up
        assert await box.take() is None

    in_loop(act)
    in_loop(flood)


def test_beyond_the_window_media_waits_until_it_is_acknowledged_and_words_do_not() -> None:
    async def act(box: Outbox) -> None:
        for chunk in range(3):
            for message in group(chunk, 1.12 * (chunk + 1)):
                box.put(message)
        while True:
            try:
                last = await asyncio.wait_for(box.take(), 0.05)
            except TimeoutError:
                break
        assert last.end_s <= 2.24 + 1e-9
        box.received(1.12)
        assert (await asyncio.wait_for(box.take(), 1.0)).kind is not None

    in_loop(act)


def test_who_comes_back_late_in_a_conversation_is_not_behind_by_all_of_it() -> None:
    async def act(box: Outbox) -> None:
        box.put(say("ready"))
        box.restart(600.0)
        box.put(say("epoch"))
        for message in group(0, 601.12):
            box.put(message)
        assert not box.gave_up
        assert box.behind_s == pytest.approx(1.12)
        taken = all_that_waits(box)
        assert sum(m.kind is Kind.PICTURE for m in taken) == 28
        box.restart(600.56)  # an interrupt: what was reported lies behind it
        assert box.behind_s == pytest.approx(0.0)

    in_loop(act)


def test_a_report_of_an_earlier_conversation_opens_no_window() -> None:
    """A page whose conversation was lost goes on with a new one, and said before it heard of it what it had."""

    async def act(box: Outbox) -> None:
        box.received(600.0)
        box.restart(0.0)
        box.put(say("epoch"))
        box.received(600.0)
        for chunk in range(40):
            for message in group(chunk, 1.12 * (chunk + 1)):
                box.put(message)
        while (message := box._take_now()) is not None:
            last_s = message.end_s
        assert last_s < 2.0 + 1.12 + 1e-9
        assert box.behind_s > 40.0
        assert box.pictures_dropped > 30 * 28

    in_loop(act)


def test_a_new_run_drops_what_lies_behind_its_start_only() -> None:
    async def act(box: Outbox) -> None:
        for message in (*group(0, 1.12), *group(1, 2.24), say("notice")):
            box.put(message)
        box.restart(1.12)
        box.received(99)
        box.close()
        taken = []
        while (message := await box.take()) is not None:
            taken.append(message)
        assert max(m.end_s for m in taken) == pytest.approx(1.12)
        assert sum(m.kind is Kind.PICTURE for m in taken) == 28
        assert taken[-1].kind is None

    in_loop(act)


def test_an_interrupt_on_a_slow_line_is_told_as_soon_as_the_page_has_what_is_on_its_way() -> None:
    async def act(box: Outbox) -> None:
        for chunk in range(8):
            box.put(group(chunk, 1.12 * (chunk + 1))[0])
        while (message := box._take_now()) is not None:
            sent_s = message.end_s
        box.restart(6 * 1.12)  # some of what lies before it was not sent yet
        box.put(say("epoch"))
        box.received(sent_s)
        taken = all_that_waits(box)
        assert taken[-1].kind is None
        assert taken[-2].end_s == pytest.approx(6 * 1.12)

    in_loop(act)


# Messages.


@given(st.binary(max_size=64))
def test_no_bytes_of_a_stranger_raise_anything_but_input_errors(data: bytes) -> None:
    with contextlib.suppress(InputError):
        samples_S, first = messages.microphone(data)
        assert np.abs(samples_S).max(initial=0) <= 1
        assert first >= 0


@given(st.text(max_size=200))
def test_no_text_of_a_stranger_raises_anything_but_input_errors(text: str) -> None:
    with contextlib.suppress(InputError):
        messages.hello(messages.words(text))


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 4000, "x" * 5000, "{}", '{"type": 3}', '{"type": "hello", "player": "flash"}'),
        '{"type": "hello", "player": "mse", "token": "\\ud800.x"}',
        '{"type": "hello", "player": "mse", "\\udfff": ""}',
    ],
)
def test_strange_words_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        messages.hello(messages.words(text))


@pytest.mark.parametrize("data", [b"", b"\x10" + bytes(8), b"\x10" + bytes(40000), bytes(9), b"\x10\0"])
def test_strange_microphone_pieces_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        messages.microphone(data)


def test_microphone_pieces_come_through_exactly() -> None:
    pcm = np.arange(-320, 320, dtype="<i2")
    samples_S, first = messages.microphone(struct.pack("<BxxxI", 16, 1234) + pcm.tobytes())
    assert first == 1234
    np.testing.assert_array_equal(samples_S, pcm / 32768)


@pytest.mark.parametrize("value", ["3", None, True, 1e300, [1]])
def test_numbers_are_numbers(value: object) -> None:
    with pytest.raises(InputError):
        messages.number({"type": "report", "received_s": value}, "received_s")


# Pace and portraits.


def test_three_slow_chunks_in_a_row_lead_to_the_next_rung_and_calm_leads_back() -> None:
    pace = Pace([{}, {"steps": 2}], since_s=0.0)
    talk = Footing(pace)
    assert talk.take() == {}
    assert [talk.must_go_down(c, 1.12, 0.0, 1.0) for c in (1.1, 1.1, 0.5, 1.1, 1.1)] == [False] * 5
    assert talk.must_go_down(1.1, 1.12, 0.0, 1.0)
    assert talk.take() == {"steps": 2}
    assert not any(talk.must_go_down(2.0, 1.12, 2.0, 1.0) for _ in range(9))  # there is nothing below
    pace.begin(100.0)
    assert pace.rung == 1
    pace.begin(1000.0)
    assert pace.rung == 0


def test_every_slow_conversation_goes_down_each_by_its_own_count_and_none_below_the_ladder() -> None:
    pace = Pace([{}, {"steps": 2}], since_s=0.0)
    talks = [Footing(pace) for _ in range(4)]
    for talk in talks:
        talk.take()
    slow = (2.0, 1.12, 0.0, 1.0)
    assert [talk.must_go_down(*slow) for talk in talks] == [False] * 4, "one late chunk of each is no three of one"
    assert [talk.must_go_down(*slow) for talk in talks[:3]] == [False] * 3
    assert [talk.must_go_down(*slow) for talk in talks[:3]] == [True] * 3
    assert pace.rung == 1
    assert [talk.take() for talk in talks[:3]] == [{"steps": 2}] * 3
    assert not talks[3].must_go_down(0.2, 1.12, 0.0, 1.0), "who keeps up stays"


def test_a_brought_portrait_is_found_by_its_owner_only_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    portraits = Portraits(ROOT / "assets" / "portraits", age_s=60.0)
    picture = np.zeros((8, 8, 3), np.uint8)
    name = portraits.bring(picture, "me", Asker())
    assert portraits.find(name, "me") is picture
    assert portraits.find("anna", "anybody").ndim == 3
    for who, what in (("you", name), ("me", "own-unknown"), ("me", "../anna"), ("me", "")):
        with pytest.raises(InputError) as caught:
            portraits.find(what, who)
        assert caught.value.code == "portrait_gone"
    later_s = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    with pytest.raises(InputError):
        portraits.find(name, "me")


def test_who_brings_many_faces_loses_their_own_oldest_and_no_size_fills_the_memory() -> None:
    portraits = Portraits(ROOT / "assets" / "portraits", age_s=60.0)
    large = np.zeros((5000, 4000, 3), np.uint8)
    large[:2500] = 200
    tiny = large[:8, :8]
    first = portraits.bring(tiny, "somebody", Asker("somebody", "elsewhere"))
    for visitor in range(6):
        brought = tiny, tiny if visitor < 5 else large, tiny, tiny, tiny
        names = [portraits.bring(picture, "me", Asker(f"visitor {visitor}", "home")) for picture in brought]
        with pytest.raises(InputError):
            portraits.find(names[0], "me")
        small = portraits.find(names[1], "me")
    assert portraits.find(first, "somebody").shape == (8, 8, 3)
    assert small.nbytes < 8 << 20
    assert (small.shape[0] / small.shape[1], small[10, 10, 0], small[-10, 10, 0]) == (pytest.approx(1.25, 0.01), 200, 0)
    assert len(portraits._brought) == 17, "of an address, too"


def test_every_file_of_the_page_is_named_by_somebody() -> None:
    folder = ROOT / "flashtalk/ui/live/static"
    everything = "".join(path.read_text("utf-8") for path in (*folder.iterdir(), Path(folder.parent / "page.py")))
    orphans = [path.name for path in folder.iterdir() if path.name not in everything]
    assert not orphans
