"""What the house does when an engine, the machine or the house itself fails again and again, or in unusual ways."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import psutil
import pytest

from flashtalk.config import Config
from flashtalk.config_app import LiveConfig
from flashtalk.errors import EngineError, WorkerLost
from flashtalk.parallel.groups import Place
from flashtalk.serving import group, messages, nursery, supervisor
from flashtalk.serving.health import live
from flashtalk.serving.launch import Rank
from flashtalk.serving.seat import Seat
from flashtalk.serving.supervisor import Supervisor
from tests.serving.fakes import STUCK, FakeEngine, FakeHouse, FakeSession, face, film, is_own, sound
from tests.serving.test_line import wait_until

SOON_S = 5.0


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    return replace(
        tiny_config, serving=replace(tiny_config.serving, beat_s=0.02, hang_s=0.6, wait_s=SOON_S, spare=False)
    )


def with_serving(config: Config, **serving: object) -> Config:
    return replace(config, serving=replace(config.serving, **serving))  # type: ignore[arg-type]


def test_engines_that_all_fail_their_check_are_not_started_without_a_pause(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SickHouse(FakeHouse):
        def _build(self, config: Config, place: Place) -> FakeEngine:
            engine = super()._build(config, place)
            engine.ails = "breaks"
            return engine

    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.0, 0.0, SOON_S))
    with SickHouse(with_serving(config, canary_s=0.05, warm_up=False)) as house:
        wait_until(lambda: house.status().counts.get("wrong") == 2)
        time.sleep(0.3)
        assert house.status().generation == 2


def test_only_the_first_engine_reads_all_the_weights(config: Config) -> None:
    with FakeHouse(config) as house:
        house.kill(0)
        wait_until(lambda: len(house.engines) == 2)
        assert [engine.config.checkpoint.verify for engine in house.engines] == ["sha256", "size"]


@pytest.mark.parametrize("isolated", [True, False])
def test_a_disk_that_cannot_be_read_is_the_reason_that_is_told(config: Config, isolated: bool) -> None:
    class NoDisk(FakeHouse):
        def _build(self, _config: Config, _place: Place) -> FakeEngine:
            raise OSError(errno.EIO, os.strerror(errno.EIO), "/secret/weights")

    with pytest.raises(EngineError, match="Input/output error") as told:
        NoDisk(config, isolated=isolated)
    assert "secret" not in str(told.value)


def fail_once(work: Callable[..., object], error: Exception, when: Callable[..., bool]) -> Callable[..., object]:
    """The same, but for the first time that arguments are `when`."""
    errors = [error]

    def fail_or_work(*given: object) -> object:
        if errors and when(*given):
            raise errors.pop()
        return work(*given)

    return fail_or_work


@pytest.mark.parametrize("thread", ["rank", "rank-0"], ids=["of-a-rank", "of-its-listener"])
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=["thread", "memory"])
def test_a_machine_short_of_threads_or_memory_is_asked_again_and_keeps_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, error: Exception, thread: str
) -> None:
    with FakeHouse(config) as house:
        before = threading.active_count()
        start = fail_once(threading.Thread.start, error, lambda one: one.name == thread)
        monkeypatch.setattr(threading.Thread, "start", start)
        house.kill(0)
        wait_until(lambda: house.status().generation == 3 and house.status().ready)
        wait_until(lambda: threading.active_count() == before)
        film(house, 3)


def test_an_order_that_cannot_be_told_loses_the_engine_and_not_the_house(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHouse(config) as house, house.open(face(3)) as seat:
        encode = fail_once(messages.encode, MemoryError(), lambda message: isinstance(message, messages.Step))
        monkeypatch.setattr(messages, "encode", encode)
        seat.feed(sound(3, 1.0))
        assert is_own(seat.next(SOON_S), 3)  # type: ignore[arg-type]
        assert house.status().generation == 2


def test_an_order_that_cannot_be_made_loses_the_engine_and_not_the_house(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHouse(config) as house, house.open(face(3)) as seat:
        order = fail_once(Seat.order, MemoryError(), lambda _seat: True)
        monkeypatch.setattr(Seat, "order", order)
        seat.feed(sound(3, 1.0))
        assert is_own(seat.next(SOON_S), 3)  # type: ignore[arg-type]
        assert house.status().generation == 2


@pytest.mark.parametrize("part", ["_waited", "_next_orders"])
def test_a_house_whose_thread_cannot_go_on_is_seen_to_be_closed(
    config: Config, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_given: object) -> None:
        raise ValueError("nobody thought of this")

    with FakeHouse(config) as house, house.open(face(3)) as seat:
        monkeypatch.setattr(Supervisor, part, fail)
        seat.feed(sound(3, 1.0))
        wait_until(lambda: not live(house.status()).ok)
        wait_until(lambda: not any(thread.name.startswith("rank") for thread in threading.enumerate()))
        with pytest.raises(WorkerLost, match="start the program again"):
            list(seat)
        wait_until(lambda: house.status().seats_used == 0)


class MuteRank:
    """Reads nothing and says nothing, as a process that stands still before it has a heart."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.channel = messages.Channel(ours)

    def stop(self, *, at_once: bool) -> None:
        self.channel.close()
        self._theirs.close()


def test_a_successor_that_never_beats_is_replaced_and_one_that_only_builds_for_long_is_not(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowHouse(FakeHouse):
        def _begin(self) -> Rank:
            return MuteRank() if self.status().generation == 2 else super()._begin()

        def _build(self, config: Config, place: Place) -> FakeEngine:
            time.sleep(2.0 if self.engines else 0.0)
            return super()._build(config, place)

    monkeypatch.setattr(group, "START_SILENCE_S", 1.0)
    with SlowHouse(config) as house:
        house.kill(0)
        wait_until(lambda: house.status().counts.get("hung") == 1)
        wait_until(lambda: house.status().ready)
        assert house.status().generation == 3


def test_a_nursery_that_stands_still_goes_with_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nursery, "_END_S", 0.2)
    me = psutil.Process()
    before, house = set(me.children()), nursery.Nursery()
    try:
        rank = house.rank()
        (first,) = set(me.children()) - before
        os.kill(first.pid, signal.SIGSTOP)
        rank.stop(at_once=True)
        house.rank().channel.close()
        (second,) = set(me.children()) - before
        assert first != second
    finally:
        house.close()
    assert set(me.children()) == before


DEAF_NURSERY = """
import socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
while request := socket.recv_fds(control, 64, 1)[0]:
    if request[:1] == b"e":
        control.send(request)
"""
"""It answers, and makes no ranks."""


def test_a_nursery_whose_ranks_never_speak_is_replaced_and_ends_with_the_last_that_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_module: str, theirs: socket.socket) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", DEAF_NURSERY, str(theirs.fileno())], pass_fds=(theirs.fileno(),))

    monkeypatch.setattr(nursery, "start_child", start)
    monkeypatch.setattr(nursery, "_MUTE_S", 0.0)
    me = psutil.Process()
    before, house = set(me.children()), nursery.Nursery()
    try:
        talker, mute = house.rank(), house.rank()
        talker.channel.was_heard = True
        (first,) = set(me.children()) - before
        mute.stop(at_once=True)
        next_one = house.rank()
        next_one.channel.was_heard = True
        (second,) = set(me.children()) - before - {first}
        talker.stop(at_once=False)
        next_one.stop(at_once=False)
        assert set(me.children()) - before == {second}
    finally:
        house.close()
    assert set(me.children()) == before


def compiled(config: Config) -> Config:
    return with_serving(replace(config, runtime=replace(config.runtime, compile=True)), start_s=60.0)


def test_a_compiled_engine_that_hangs_over_a_size_it_was_made_for_is_seen_at_once(config: Config) -> None:
    with FakeHouse(compiled(config)) as house, house.open(face(STUCK)) as stuck:
        stuck.feed(sound(1, 1.0))
        wait_until(lambda: house.status().counts.get("hung"), 3.0)


def test_a_compiled_engine_gets_time_for_the_first_chunk_of_another_length_and_for_nothing_else(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHouse(compiled(config)) as house, house.open(face(STUCK), first_chunk_frames=25) as slow:
        slow.feed(sound(1, 1.0))
        with pytest.raises(TimeoutError):
            slow.next(1.5)
        assert house.status().generation == 1
        restore = FakeEngine.restore
        monkeypatch.setattr(
            FakeEngine, "restore", lambda engine, saved: engine.release.wait() and restore(engine, saved)
        )
        house.kill(0)
        wait_until(lambda: house.status().counts.get("hung"), 3.0)


def test_who_leaves_while_a_compiled_engine_compiles_for_him_does_not_end_it_for_others(config: Config) -> None:
    with FakeHouse(compiled(config)) as house:
        with house.open(face(STUCK), first_chunk_frames=25) as slow:
            slow.feed(sound(1, 1.0))
            wait_until(lambda: house.engines[0].steps == [STUCK])
        wait_until(lambda: house.status().seats_used == 0)
        time.sleep(1.5)
        assert house.status().generation == 1


def test_a_compiled_engine_has_compiled_for_live_conversations_before_they_begin(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths, open_session = [], FakeEngine.open

    def note(engine: FakeEngine, portrait: np.ndarray, **settings: object) -> FakeSession:
        session = open_session(engine, portrait, **settings)  # type: ignore[arg-type]
        lengths.append(session.stream.first_chunk_frames)
        return session

    monkeypatch.setattr(FakeEngine, "open", note)
    with FakeHouse(compiled(config)) as house, house.open(face(STUCK), first_chunk_frames=17) as stuck:
        assert lengths == [33, LiveConfig.first_chunk_frames, 17]
        stuck.feed(sound(1, 1.0))
        wait_until(lambda: house.status().counts.get("hung"), 3.0)


def test_nobody_loses_a_seat_while_the_machine_stands_still(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "AWAY_S", 0.3)
    with FakeHouse(with_serving(config, idle_s=1.0)) as house, house.open(face(3)) as seat:
        seat.feed(sound(3, 4.0))
        wait_until(lambda: house.status().counts.get("chunk") == 2)
        with house._supervisor.lock:
            time.sleep(1.5)
        time.sleep(0.3)
        assert [chunk.index for chunk in (seat.next(SOON_S) for _ in range(4)) if chunk] == [0, 1, 2, 3]
