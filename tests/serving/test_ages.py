"""serving/ages.py: a clock that is set makes nothing old that is young, and keeps nothing for ever."""

from __future__ import annotations

import time

import pytest

from flashtalk.serving import ages
from flashtalk.serving.ages import Ages

HOUR_S = 3600.0


class Clocks:
    """The wall's and the steady one, both set by the test; at the beginning they say the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_s = self.steady_s = 1e9
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        monkeypatch.setattr(ages, "_steady_s", lambda: self.steady_s)

    def go_on(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_a_clock_that_is_set_ahead_makes_nothing_older(clocks: Clocks) -> None:
    house, changed_s = Ages(), clocks.wall_s
    clocks.go_on(HOUR_S)
    clocks.wall_s += 1000 * HOUR_S
    assert house.age_s(changed_s) == HOUR_S


def test_what_comes_after_a_clock_was_set_ahead_ages_as_ever(clocks: Clocks) -> None:
    house = Ages()
    clocks.wall_s += 1000 * HOUR_S
    changed_s = clocks.wall_s
    clocks.go_on(HOUR_S)
    assert house.age_s(changed_s) == HOUR_S


def test_a_clock_that_is_set_back_makes_nothing_older(clocks: Clocks) -> None:
    house, changed_s = Ages(), clocks.wall_s
    clocks.go_on(HOUR_S)
    clocks.wall_s -= HOUR_S / 2
    assert house.age_s(changed_s) == HOUR_S / 2
