"""serving/line.py: first come, first served; everybody knows the place; nobody waits in vain or unseen."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

import pytest

from flashtalk.errors import EngineError, Overloaded
from flashtalk.serving.line import Line

SOON_S = 10.0


def wait_until(true: object, limit_s: float = SOON_S) -> None:
    until_s = time.monotonic() + limit_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.002)


def test_twenty_visitors_on_two_seats_are_served_in_their_order_and_know_their_place() -> None:
    line, seated, places = Line(2, 20, SOON_S), [], defaultdict(list)
    most_at_once, lock = [0], threading.Lock()

    def visit(number: int) -> None:
        line.take_seat(places[number].append)
        with lock:
            seated.append(number)
            most_at_once[0] = max(most_at_once[0], line.used)
        time.sleep(0.005)
        line.leave_seat(0.005)

    line.take_seat(None)
    line.take_seat(None)
    threads = []
    for number in range(20):
        threads.append(threading.Thread(target=visit, args=(number,)))
        threads[-1].start()
        wait_until(lambda number=number: line.waiting == number + 1)
    wait_until(lambda: all(places[number] for number in range(20)))
    assert [places[number][0] for number in range(20)] == list(range(1, 21))
    line.leave_seat(1.0)
    line.leave_seat(1.0)
    for thread in threads:
        thread.join(SOON_S)
    # Two are seated at a time; those two may note it in either order.
    assert all(abs(number - at) <= 1 for at, number in enumerate(seated))
    assert sorted(seated) == list(range(20))
    assert most_at_once[0] <= 2
    assert all(told == sorted(told, reverse=True) for told in places.values())
    assert (line.used, line.waiting) == (0, 0)


def test_a_line_that_is_too_long_refuses_at_once() -> None:
    line = Line(1, 0, SOON_S)
    line.take_seat(None)
    began_s = time.monotonic()
    with pytest.raises(Overloaded, match="number 1 in line") as refusal:
        line.take_seat(None)
    assert time.monotonic() - began_s < 0.2
    assert refusal.value.place == 1
    assert refusal.value.wait_s > 0
    assert line.refused == 1


def test_a_wait_that_is_too_long_ends_with_the_place() -> None:
    line = Line(1, 5, 0.05)
    line.take_seat(None)
    with pytest.raises(Overloaded) as refusal:
        line.take_seat(None)
    assert refusal.value.place == 1
    assert line.waiting == 0


def test_who_gives_up_leaves_the_line() -> None:
    class GaveUpError(Exception):
        pass

    def give_up(_place: int) -> None:
        raise GaveUpError

    line = Line(1, 5, SOON_S)
    line.take_seat(None)
    with pytest.raises(GaveUpError):
        line.take_seat(give_up)
    assert line.waiting == 0


def test_closing_sends_everybody_home() -> None:
    line, said = Line(1, 5, SOON_S), []
    line.take_seat(None)

    def visit() -> None:
        with pytest.raises(EngineError) as error:
            line.take_seat(None)
        said.append(error.value.code)

    thread = threading.Thread(target=visit)
    thread.start()
    wait_until(lambda: line.waiting)
    line.close()
    thread.join(SOON_S)
    assert said == ["closed"]


def test_the_wait_is_told_from_the_stays_before() -> None:
    line = Line(1, 0, SOON_S)
    for _ in range(30):
        line.take_seat(None)
        line.leave_seat(120.0)
    line.take_seat(None)
    with pytest.raises(Overloaded) as refusal:
        line.take_seat(None)
    assert refusal.value.wait_s == pytest.approx(120, rel=0.05)
