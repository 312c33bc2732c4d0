"""Laws of a live conversation around an engine of known cost: what the session itself takes, and engines that die."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from flashtalk.config_app import LiveConfig
from flashtalk.config_file import load_config
from flashtalk.serving.seat import MAX_STRIKES
from flashtalk.types import VideoChunk
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live.messages import Kind
from flashtalk.ui.live.session import Visitor
from flashtalk.ui.live.sessions import LiveSessions
from tests.serving.fakes import DEADLY, FakeHouse, face
from tests.ui.live_house import SIZE_PX, PacedHouse
from tests.ui.live_kit import GOOD, RATE, Listener, Talker, live_server, talk, wait_until
from tests.ui.live_twin import NoPacker

COMPUTE_S = 0.2
OWN_S = 0.1
"""What socket, queues, threads and the encoder may take of the 0.4 s."""
QUICK = {"serving.beat_s": 0.02, "serving.hang_s": 0.6, "serving.spare": False}
"""An engine that is lost is soon there again."""


@pytest.fixture(scope="module")
def house() -> Iterator[PacedHouse]:
    config = load_config("cpu", {"stream.width": SIZE_PX, "stream.height": SIZE_PX})
    with PacedHouse(config, lambda: COMPUTE_S) as opened:
        yield opened


@contextmanager
def lateness() -> Iterator[list[float]]:
    """How late this machine is with threads that asked to be woken."""
    late_s, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            began_s = time.monotonic()
            time.sleep(0.01)
            late_s.append(time.monotonic() - began_s - 0.01)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield late_s
    finally:
        done.set()
        watching.join()


def voice(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.2)).astype(np.float32)


def test_who_waits_and_loses_the_line_for_a_moment_keeps_the_place() -> None:
    left = threading.Event()

    def stand(_place: int) -> None:
        if left.is_set():
            raise InterruptedError

    async def lose(talker: Talker) -> None:
        await talker.until(lambda: talker.words("place"))
        talker.socket.transport.abort()

    async def come_back(talker: Talker) -> None:
        await talker.until(lambda: talker.words("place"))

    with (
        ThreadPoolExecutor(1) as pool,
        FakeHouse(load_config("cpu", {"serving.seats": 1})) as house,
        house.open(face(1)),
        live_server(house) as server,
    ):
        key = talk(server, lose).words("place")[0]["key"]
        behind = pool.submit(house.open, face(2), on_place=stand)
        wait_until(lambda: house.status().queue_length == 2, 5)
        assert talk(server, come_back, resume=key).words("place")[0]["place"] == 1
        left.set()
        with pytest.raises(InterruptedError):
            behind.result(5)


def test_a_face_that_stops_engines_is_given_up_and_who_talks_beside_it_goes_on() -> None:
    with FakeHouse(load_config("cpu", QUICK)) as house:
        sessions = LiveSessions(house, LiveConfig())
        neighbour, culprit = Listener(), Listener()
        for stamp, who in ((1, neighbour), (DEADLY, culprit)):
            sessions.open(Visitor(face(stamp)), str(stamp), Asker(str(stamp))).attach(who, lambda *_: NoPacker())
        wait_until(lambda: culprit.closed, 10)
        wait_until(lambda: neighbour.told("epoch")[-1]["reason"] == "resume", 10)
        sessions.close()
        assert house.status().counts["died"] == MAX_STRIKES
    assert [error["code"] for error in culprit.told("error")] == ["given_up"]
    assert not neighbour.told("error")


def test_who_comes_back_to_an_engine_that_was_replaced_meanwhile_goes_on_once() -> None:
    with FakeHouse(load_config("cpu", QUICK)) as house:
        sessions, first, again = LiveSessions(house, LiveConfig()), Listener(), Listener()
        session = sessions.open(Visitor(face(1)), "anna", Asker())
        session.attach(first, lambda *_: NoPacker())
        wait_until(lambda: first.told("stages"), 5)
        session.detach(first)
        house.kill(0)
        wait_until(lambda: house.status().ready and house.status().generation == 2, 5)
        session.attach(again, lambda *_: NoPacker())
        wait_until(lambda: len(again.told("stages")) == 2, 5)
        sessions.close()
    assert [epoch["reason"] for epoch in again.told("epoch")] == ["resume"]
    assert not again.told("notice")


def test_a_cheaper_stream_takes_the_place_of_a_slow_one_in_a_full_house() -> None:
    """Each conversation that is too slow goes down, nobody in line comes between, no second of the clock is lost."""
    cost_s = [1.0]
    few = {"stream.width": SIZE_PX, "stream.height": SIZE_PX, "stream.steps": 4, "serving.seats": 2, "serving.line": 1}
    with PacedHouse(load_config("cpu", few), lambda: cost_s[0]) as house, live_server(house) as server:

        async def act(talker: Talker) -> None:
            await talker.until(lambda: [r["steps"] for r in talker.words("ready")] == [4, 2], 60)
            await talker.until(lambda: talker.of(Kind.PICTURE, epoch=2), 60)

        def wait(_place: int) -> None:
            if leave.is_set():
                raise InterruptedError

        leave = threading.Event()
        with ThreadPoolExecutor(3) as pool:
            talks = [pool.submit(talk, server, act, token=f"{name}: {GOOD}") for name in ("anna", "bruno")]
            wait_until(lambda: house.status().seats_used == 2, 20)
            in_line = pool.submit(house.open, np.zeros((64, 64, 3), np.uint8), on_place=wait)
            wait_until(lambda: house.status().queue_length == 1, 20)
            talkers = [one.result(120) for one in talks]
            assert not in_line.done()
            leave.set()
            with pytest.raises(InterruptedError):
                in_line.result(20)
    for talker in talkers:
        assert not talker.words("error")
        assert [notice["code"] for notice in talker.words("notice") if notice["code"] != "too_slow"] == ["slower"]
        again = talker.words("epoch")[1]
        assert again["reason"] == "open"
        assert again["at_s"] == pytest.approx(max(c["end_s"] for c in talker.words("chunk") if c["epoch"] == 1))


class Heard(NoPacker):
    """What the face says."""

    def __init__(self) -> None:
        self.samples = 0

    def pack(self, chunk: VideoChunk, start_s: float) -> Iterator[Any]:
        self.samples += np.count_nonzero(chunk.samples)
        return super().pack(chunk, start_s)


def test_what_was_said_is_heard_or_counted_as_lost_through_a_step_down() -> None:
    """Chunks of 0.16 s: the same law in less time."""
    spoken_s, heard, browser = 1.6, Heard(), Listener()
    short = {"chunk_frames": 5, "first_chunk_frames": 5, "motion_frames": 1, "bridge_frames": 0, "steps": 4}
    config = load_config("cpu", {f"stream.{name}": value for name, value in short.items()})

    def lost_s() -> list[float]:
        return [stage["words_lost_s"] for stage in browser.told("stages")]

    with PacedHouse(config, lambda: 0.02 if len(browser.told("ready")) > 1 else 0.3) as house:
        sessions = LiveSessions(house, LiveConfig(max_waiting_s=0.2))
        session = sessions.open(Visitor(face(1)), "anna", Asker())
        session.attach(browser, lambda *_: heard)
        wait_until(lambda: browser.told("epoch"), 5)
        for piece_S in np.split(voice(spoken_s), round(spoken_s / 0.04)):
            session.hear(piece_S)
            time.sleep(0.04)
        wait_until(lambda: heard.samples / RATE + lost_s()[-1] > spoken_s - 0.02, 5)
        sessions.close()
    assert heard.samples / RATE + lost_s()[-1] < spoken_s + 0.02
    assert lost_s() == sorted(lost_s())
    assert lost_s()[-1] > 0
    assert [ready["steps"] for ready in browser.told("ready")] == [4, 2]


def test_from_a_chunks_last_sample_to_its_first_picture_is_its_making_and_hardly_more(house: PacedHouse) -> None:
    sent_s: list[float] = []

    async def act(talker: Talker) -> None:
        await talker.until(lambda: talker.words("epoch"))
        for _ in range(150):
            await talker.speak(voice(0.04))
            sent_s.append(time.monotonic())

    with live_server(house) as server, lateness() as late_s:
        talker = talk(server, act)
    owed_s = []
    for said in (chunk for chunk in talker.words("chunk") if chunk["captured"]):
        last_s = sent_s[min(len(sent_s), -(-said["captured"] // 640)) - 1]
        shown = [item.at_s for item in talker.of(Kind.PICTURE) if abs(item.pts_s - said["start_s"]) < 0.001]
        owed_s += [at_s - last_s - COMPUTE_S for at_s in shown]
    assert len(owed_s) >= 4
    assert np.median(owed_s) < OWN_S + 2 * np.percentile(late_s, 99)
    assert {stage["wait_s"] < OWN_S + max(late_s) for stage in talker.words("stages")} == {True}


@pytest.mark.parametrize(("after_s", "speaks"), [(0.3, True), (1.1, True), (0.7, False)])
def test_a_killed_engine_is_told_and_the_same_conversation_goes_on(
    house: PacedHouse, after_s: float, speaks: bool
) -> None:
    """Wherever in a chunk it happens, and also while nobody says a word."""

    async def act(talker: Talker) -> None:
        await talker.until(lambda: len(talker.words("stages")) >= 2)
        speaking = asyncio.create_task(talker.speak(voice(30.0) if speaks else 0 * voice(30.0)))
        await asyncio.sleep(after_s)
        house.kill(0)
        await talker.until(lambda: len(talker.words("epoch")) == 2)
        await talker.until(lambda: len(talker.of(Kind.PICTURE, epoch=2)) > 28 + 12)
        speaking.cancel()

    with live_server(house) as server:
        talker = talk(server, act)
    assert [notice["code"] for notice in talker.words("notice")] == ["restarting"]
    assert len({ready["key"] for ready in talker.words("ready")}) == 1
    again = talker.words("epoch")[1]
    assert again["reason"] == "resume"
    assert again["at_s"] == pytest.approx(max(c["end_s"] for c in talker.words("chunk") if c["epoch"] == 1))
    numbers = [chunk["number"] for chunk in talker.words("chunk")]
    assert numbers == list(range(1, len(numbers) + 1))
    heard = np.concatenate([np.frombuffer(item.data, "<i2") for item in talker.of(Kind.SOUND, epoch=2)])
    assert heard.any() == speaks
