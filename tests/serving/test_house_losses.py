"""What the house does when an engine, the machine or the house itself fails again and again, or in unusual ways."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from flashtalk.config import Config
from flashtalk.errors import WorkerLost
from flashtalk.parallel.groups import Place
from flashtalk.serving import messages, supervisor
from flashtalk.serving.health import live
from flashtalk.serving.seat import Seat
from flashtalk.serving.supervisor import Supervisor
from tests.serving.fakes import FakeEngine, FakeHouse, face, film, is_own, sound
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


@pytest.mark.parametrize("part", ["_look_at", "_next_orders"])
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
