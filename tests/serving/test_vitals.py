"""serving/group.py: when silence is a hang, and when it is not. In virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flashtalk.serving.group import SLOW_FACTOR, Vitals

HANG_S = 4.0
BEAT_S = 0.25


def beats(vitals: Vitals, start_s: float, duration_s: float, part_s: float) -> float:
    """Beats for a while, with progress every `part_s` seconds; the moment of the last."""
    now_s = start_s
    while now_s < start_s + duration_s:
        now_s += BEAT_S
        vitals.beat(int(now_s / part_s), now_s)
        assert not vitals.hangs(now_s, HANG_S, 0.0)
    return now_s


@given(part_s=st.floats(0.01, 0.9))
def test_silence_and_standstill_are_hangs_after_the_limit_and_not_before(part_s: float) -> None:
    silent, stuck = Vitals(0.0), Vitals(0.0)
    now_s = beats(silent, 0.0, 20.0, part_s)
    beats(stuck, 0.0, 20.0, part_s)
    assert not silent.hangs(now_s + HANG_S - part_s - BEAT_S, HANG_S, 0.0)
    assert silent.hangs(now_s + HANG_S + 0.01, HANG_S, 0.0)
    for step in range(40):
        stuck.beat(int(now_s / part_s), now_s + step * BEAT_S)
    assert stuck.hangs(now_s + HANG_S + SLOW_FACTOR * part_s + 0.5, HANG_S, 0.0)


def test_a_slow_machine_gets_more_time_and_loses_it_again_when_it_is_fast() -> None:
    slow = Vitals(0.0)
    now_s = beats(slow, 0.0, 12.0, 3.0)
    slow.beat(99, now_s)
    for step in range(int(8.0 / BEAT_S)):
        slow.beat(99, now_s + step * BEAT_S)
    assert not slow.hangs(now_s + 8.0, HANG_S, 0.0)
    now_s = beats(slow, now_s + 8.0, 300.0, BEAT_S)
    for step in range(int(5.0 / BEAT_S)):
        slow.beat(10**6, now_s + step * BEAT_S)
    assert slow.hangs(now_s + 5.0, HANG_S, 0.0)


def test_patience_is_for_work_and_not_for_silence() -> None:
    vitals = Vitals(0.0)
    for step in range(100):
        vitals.beat(1, step * BEAT_S)
    assert not vitals.hangs(25.0, HANG_S, patience_s=600.0)
    assert vitals.hangs(24.75 + HANG_S + 0.1, HANG_S, patience_s=600.0)


def test_a_watch_that_stood_still_accuses_nobody() -> None:
    vitals = Vitals(0.0)
    vitals.beat(1, 0.25)
    vitals.forgive(3600.0)
    assert not vitals.hangs(3600.1, HANG_S, 0.0)
    assert vitals.age_s(3600.1) < 1.0
