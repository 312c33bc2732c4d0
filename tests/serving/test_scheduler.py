"""serving/scheduler.py: the nearest deadline first, and nobody starves. In virtual time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from flashtalk.serving.scheduler import BACKGROUND_PATIENCE_S, Pace, most_urgent

CHUNK_S = 1.12


@dataclass
class Visitor:
    number: int
    pace: Pace
    chunks: int = 0
    late_s: float = 0.0
    longest_wait_s: float = 0.0
    served_s: float = 0.0

    def serve(self, now_s: float) -> None:
        if self.chunks:
            self.late_s = max(self.late_s, now_s - self.pace.deadline_s())
        self.longest_wait_s, self.served_s = max(self.longest_wait_s, now_s - self.served_s), now_s
        self.pace.served(now_s, CHUNK_S)
        self.chunks += 1


def play(visitors: list[Visitor], compute_s: float, duration_s: float, ahead: int = 2) -> None:
    """Give chunks to who is most urgent; nobody gets more than `ahead` chunks before they play."""
    now_s = 0.0
    while now_s < duration_s:
        hungry = [one for one in visitors if one.pace._dry_s - now_s < ahead * CHUNK_S]
        one = most_urgent(hungry)
        now_s += compute_s if one else 0.01
        if one:
            one.serve(now_s)


def visitors(realtime: int, background: int) -> list[Visitor]:
    kinds = [True] * realtime + [False] * background
    return [Visitor(number, Pace(0.0, realtime=kind)) for number, kind in enumerate(kinds)]


def test_all_are_in_time_while_the_engine_can_keep_up() -> None:
    crowd = visitors(4, 0)
    play(crowd, compute_s=CHUNK_S / 4.2, duration_s=120)
    assert max(one.late_s for one in crowd) <= 0


def test_a_house_that_cannot_keep_up_is_fair() -> None:
    crowd = visitors(5, 0)
    play(crowd, compute_s=0.5, duration_s=120)
    chunks = [one.chunks for one in crowd]
    assert max(chunks) - min(chunks) <= 1


def test_who_is_watched_comes_before_who_is_not() -> None:
    crowd = visitors(2, 2)
    play(crowd, compute_s=CHUNK_S / 2.5, duration_s=120)
    assert max(one.late_s for one in crowd[:2]) < CHUNK_S / 2
    assert min(one.chunks for one in crowd[2:]) > 0


def test_nobody_starves_in_a_house_that_is_full_of_the_watched() -> None:
    crowd = visitors(6, 1)
    play(crowd, compute_s=0.5, duration_s=120)
    assert crowd[-1].longest_wait_s <= BACKGROUND_PATIENCE_S + 7 * 0.5


def test_a_newcomer_is_served_before_those_who_have_something_in_hand() -> None:
    old, new = Visitor(1, Pace(0.0, realtime=True)), Visitor(2, Pace(10.0, realtime=True))
    old.serve(9.9)
    assert most_urgent([old, new]) is new


def test_after_an_interruption_the_next_chunk_is_urgent_again() -> None:
    one, other = (Pace(0.0, realtime=True) for _ in range(2))
    one.served(1.0, 5.0)
    other.served(1.0, 2.0)
    one.restart(1.5)
    assert one.deadline_s() < other.deadline_s()


def test_an_empty_house_has_nothing_to_do() -> None:
    assert most_urgent([]) is None


@pytest.mark.parametrize("realtime", [True, False])
def test_a_pause_earns_no_right_to_hurry_later(realtime: bool) -> None:
    pace = Pace(0.0, realtime=realtime)
    pace.served(100.0, CHUNK_S)
    assert pace.deadline_s() >= 100.0 + CHUNK_S
