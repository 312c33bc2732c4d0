"""Seats, supervisor and ranks together, over engines that stamp their frames (fakes.py): everybody gets the own."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flashtalk.commands.film_sound import Voice
from flashtalk.config import Config
from flashtalk.errors import (
    CheckpointError,
    EngineError,
    FlashTalkError,
    InputError,
    Overloaded,
    SessionClosed,
    WorkerLost,
)
from flashtalk.parallel.groups import Place
from flashtalk.serving import supervisor
from flashtalk.serving.seat import Seat
from tests.serving.fakes import (
    BEREFT,
    BROKEN,
    DEADLY,
    NUMBERLESS,
    REFUSED,
    STARVED,
    STUCK,
    FakeEngine,
    FakeHouse,
    face,
    film,
    is_own,
    sound,
)
from tests.serving.test_line import wait_until

SOON_S = 20.0
CHUNK = 28 * 640


@pytest.fixture(scope="module")
def config(tiny_config: Config) -> Config:
    return replace(
        tiny_config, serving=replace(tiny_config.serving, beat_s=0.02, hang_s=0.6, wait_s=SOON_S, spare=False)
    )


@pytest.fixture
def house(config: Config) -> Iterator[FakeHouse]:
    with FakeHouse(config) as house:
        yield house


@contextmanager
def house_of(config: Config, ranks: int = 1, **serving: object) -> Iterator[FakeHouse]:
    parallel = replace(config.parallel, ranks=ranks)
    with FakeHouse(replace(config, parallel=parallel, serving=replace(config.serving, **serving))) as house:  # type: ignore[arg-type]
        yield house


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def run(*visits: Callable[[], object]) -> list[object]:
    with ThreadPoolExecutor(len(visits)) as pool:
        return [future.result(SOON_S) for future in [pool.submit(visit) for visit in visits]]


# Whose frames.


class Visit:
    """One visitor, a random step at a time; what it may expect is kept beside it."""

    def __init__(self, house: FakeHouse, stamp: int, draw: random.Random) -> None:
        self.seat: Seat = house.open(face(stamp), realtime=draw.random() < 0.5)
        self.stamp, self.draw = stamp, draw
        self.sound = sound(stamp, 8)
        self.fed = self.heard = self.index = 0
        self.old = 0

    def act(self) -> None:
        self.draw.choice((self.feed, self.feed, self.take, self.take, self.interrupt))()

    def feed(self) -> None:
        count = self.draw.randint(1, CHUNK)
        self.seat.feed(self.sound[self.fed : self.fed + count])
        self.fed = min(self.fed + count, len(self.sound))

    def take(self) -> None:
        if self.fed - self.heard >= CHUNK:
            self.check(self.seat.next(SOON_S))

    def interrupt(self) -> None:
        if self.draw.random() < 0.3:
            self.seat.interrupt()
            self.heard = self.fed

    def finish(self) -> None:
        self.seat.finish()
        while (chunk := self.seat.next(SOON_S)) is not None:
            self.check(chunk)
        assert self.heard == self.fed
        self.seat.close()

    def check(self, chunk: object) -> None:
        assert is_own(chunk, self.stamp)  # type: ignore[arg-type]
        assert chunk.index == self.index  # type: ignore[union-attr]
        samples = chunk.samples  # type: ignore[union-attr]
        assert np.array_equal(samples, self.sound[self.heard : self.heard + len(samples)])
        self.index, self.heard = self.index + 1, self.heard + len(samples)


def interleave(house: FakeHouse, seed: int) -> bool:
    """Two to four visitors, a random step of one of them at a time; whether each got the own frames, all of them."""
    draw = random.Random(seed)
    visits = [Visit(house, 1 + (seed + i) % 70, draw) for i in range(draw.randint(2, 4))]
    try:
        for _ in range(12 * len(visits)):
            draw.choice(visits).act()
        run(*(visit.finish for visit in visits))
    except AssertionError:
        return False
    finally:
        for visit in visits:
            visit.seat.close()
    return True


def twenty_on_two_seats(config: Config) -> list[list[int]]:
    """What each of twenty visitors was told of the place in line; all got their own film."""
    with house_of(config, seats=2, line=20) as house:
        places: dict[int, list[int]] = {stamp: [] for stamp in range(1, 21)}
        first = [house.open(face(stamp)) for stamp in (30, 31)]

        def leave() -> None:
            wait_until(lambda: house.status().queue_length == 20)
            for seat in first:
                seat.close()

        run(leave, *(lambda s=s: film(house, s, 1.5, on_place=places[s].append) for s in places))
        assert house.status().queue_length == 0
    return list(places.values())


def test_visitors_get_their_own_frames_in_200_interleavings(house: FakeHouse) -> None:
    assert all(interleave(house, seed) for seed in range(200))
    wait_until(lambda: house.status().seats_used == 0)


def test_visitors_in_threads_get_their_own_frames(house: FakeHouse) -> None:
    for heard, stamp in zip(run(*(lambda s=s: film(house, s) for s in range(1, 5))), range(1, 5), strict=True):
        assert np.array_equal(heard, sound(stamp, 2.5))  # type: ignore[arg-type]


def test_twenty_visitors_on_two_seats_all_get_their_film(config: Config) -> None:
    places = twenty_on_two_seats(config)
    assert sorted(told[0] for told in places) == list(range(1, 21))
    assert all(told == sorted(told, reverse=True) for told in places)


def test_a_full_house_says_so_with_a_place(config: Config) -> None:
    with house_of(config, seats=1, line=1, wait_s=0.05) as house, house.open(face(1)):
        with pytest.raises(Overloaded) as refusal:
            house.open(face(2))
        assert refusal.value.place == 1
        assert house.status().counts["refused"] == 1


@pytest.mark.parametrize("line", [0, 1])
def test_a_stream_opened_instead_of_another_has_its_seat_whoever_waits(config: Config, line: int) -> None:
    with house_of(config, seats=1, line=1) as house, ThreadPoolExecutor(1) as pool:
        first = house.open(face(1))
        waiting = pool.submit(house.open, face(2)) if line else None
        wait_until(lambda: house.status().queue_length == line)
        house._line._length = line
        second = house.open(face(1), steps=2, instead=first)
        with pytest.raises(SessionClosed):
            first.feed(sound(1, 0.1))
        second.feed(sound(1, 1.0))
        assert is_own(second.next(SOON_S), 1)
        assert (second.config.steps, house.status().seats_used) == (2, 1)
        assert house.status().queue_length == line
        second.close()
        if waiting:
            waiting.result(SOON_S).close()
        wait_until(lambda: house.status().seats_used == 0)


def test_a_stream_that_is_over_or_in_another_house_leaves_no_seat(config: Config) -> None:
    with house_of(config, seats=1, line=0) as house, house_of(config, seats=1, line=0) as other:
        over, far = house.open(face(1)), other.open(face(2))
        over.close()
        wait_until(lambda: house.status().seats_used == 0)
        with house.open(face(3)):
            for old in (over, far):
                with pytest.raises(Overloaded):
                    house.open(face(4), instead=old)
            assert house.status().seats_used == 1
        far.feed(sound(2, 1.0))
        assert is_own(far.next(SOON_S), 2)
        wait_until(lambda: house.status().seats_used == 0)
        with house.open(face(4), instead=over):
            assert house.status().seats_used == 1


def test_a_stream_that_cannot_be_opened_leaves_the_other_its_seat(house: FakeHouse) -> None:
    with house.open(face(1)) as seat:
        with pytest.raises(FlashTalkError):
            house.open(face(1), wdith=64, instead=seat)
        seat.feed(sound(1, 1.0))
        assert is_own(seat.next(SOON_S), 1)
        with pytest.raises(InputError, match="this face"):
            house.open(face(REFUSED), instead=seat)
    wait_until(lambda: house.status().seats_used == 0)


def test_nothing_is_spent_on_a_visitor_who_is_refused(config: Config) -> None:
    with house_of(config, seats=1, line=1) as house, house.open(face(1)):
        leave = threading.Event()

        def wait(_place: int) -> None:
            if leave.is_set():
                raise InterruptedError

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(house.open, face(2), on_place=wait)
            wait_until(lambda: house.status().queue_length == 1)
            with pytest.raises(Overloaded):
                house.open(face(3), wdith=64)
            leave.set()
            with pytest.raises(InterruptedError):
                waiting.result(SOON_S)


def test_seats_that_share_an_engine_get_equal_parts_of_it(house: FakeHouse) -> None:
    seats = [house.open(face(stamp), realtime=True) for stamp in (1, 2, 3, 4)]
    run(*(lambda s=s, n=n: (s.feed(sound(n, 4)), s.finish(), list(s)) for n, s in enumerate(seats, 1)))
    steps = house.engines[0].steps
    assert sorted(steps) == sorted([1, 2, 3, 4] * 4)


# What one visitor's trouble does to others.


@pytest.mark.parametrize(
    ("stamp", "kind", "code"), [(BROKEN, EngineError, "fault"), (STARVED, EngineError, "out_of_memory")]
)
def test_a_failing_stream_ends_alone(house: FakeHouse, stamp: int, kind: type[FlashTalkError], code: str) -> None:
    with house.open(face(1)) as neighbour, house.open(face(stamp)) as failing:
        neighbour.feed(sound(1, 1.0))
        failing.feed(sound(2, 1.0))
        with pytest.raises(kind) as error:
            failing.next(SOON_S)
        assert error.value.code == code
        assert "secret" not in str(error.value)
        with pytest.raises(kind):
            failing.feed(sound(2, 1.0))
        neighbour.feed(sound(1, 2.0)[CHUNK:])
        assert all(is_own(neighbour.next(SOON_S), 1) for _ in range(2))  # type: ignore[arg-type]
    assert house.status().restarts == 0


def test_a_face_that_is_refused_leaves_no_seat_taken(house: FakeHouse) -> None:
    with pytest.raises(InputError, match="face"):
        house.open(face(REFUSED))
    wait_until(lambda: house.status().seats_used == 0)
    with pytest.raises(InputError, match="array of bytes"):
        house.open(np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="unknown stream settings"):
        house.open(face(1), wdith=64)


@pytest.mark.parametrize("stamp", [DEADLY, BEREFT])
def test_a_stream_that_kills_engines_is_given_up_and_its_neighbours_go_on(house: FakeHouse, stamp: int) -> None:
    with house.open(face(1)) as neighbour, house.open(face(stamp)) as deadly:
        neighbour.feed(sound(1, 1.0))
        assert is_own(neighbour.next(SOON_S), 1)  # type: ignore[arg-type]
        deadly.feed(sound(2, 1.0))
        with pytest.raises(WorkerLost, match="given up"):
            deadly.next(SOON_S)
        neighbour.feed(sound(1, 3.0)[CHUNK:])
        neighbour.finish()
        heard = [chunk.samples for chunk in neighbour]
        assert np.array_equal(np.concatenate(heard), sound(1, 3.0)[CHUNK:])
    assert house.status().counts["died"] == 2


def test_an_engine_that_hangs_is_replaced_though_its_heart_beats(house: FakeHouse) -> None:
    with house.open(face(1)) as neighbour, house.open(face(STUCK)) as stuck:
        neighbour.feed(sound(1, 1.0))
        neighbour.next(SOON_S)
        stuck.feed(sound(2, 1.0))
        with pytest.raises(WorkerLost):
            stuck.next(SOON_S)
        neighbour.feed(sound(1, 2.0)[CHUNK:])
        assert is_own(neighbour.next(SOON_S), 1)  # type: ignore[arg-type]
    assert house.status().counts["hung"] == 2


def test_an_idle_engine_is_not_taken_for_one_that_hangs(house: FakeHouse) -> None:
    began_s = time.monotonic()
    wait_until(lambda: time.monotonic() - began_s > 1.5 or not house.status().ready)
    assert house.status().ready
    assert house.status().generation == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_group_that_loses_one_rank_is_replaced_as_a_whole(config: Config, rank: int) -> None:
    with house_of(config, ranks=2) as house, house.open(face(1)) as seat:
        assert len(house.engines) == 2
        seat.feed(sound(1, 1.0))
        seat.next(SOON_S)
        assert house.engines[0].steps == house.engines[1].steps == [1]
        house.kill(rank)
        seat.feed(sound(1, 2.0)[CHUNK:])
        assert is_own(seat.next(SOON_S), 1)  # type: ignore[arg-type]
        assert len(house.engines) == 4
        assert house.status().generation == 2


@pytest.mark.parametrize(("ails", "loss"), [("breaks", "wrong"), ("sticks", "hung")])
def test_a_rank_that_fails_or_hangs_alone_loses_the_group(config: Config, ails: str, loss: str) -> None:
    """One that failed is out of step: the next chunk would wait for it until the group counts as hanging."""
    with house_of(config, ranks=3) as house, house.open(face(1)) as seat:
        next(engine for engine in house.engines if engine.rank == 2).ails = ails
        seat.feed(sound(1, 1.0))
        assert is_own(seat.next(SOON_S), 1)  # type: ignore[arg-type]
        assert house.status().counts[loss] == 1
        assert house.status().generation == 2


def test_streams_wait_for_a_lost_engine_only_so_long(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often another start fails meanwhile: each pause between two is shorter than the wait."""
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.0, 0.05, 0.1))
    with house_of(config, recover_s=0.6) as house, house.open(face(1)) as seat:
        house.broken = True
        house.kill(0)
        with pytest.raises(WorkerLost, match="did not come back"):
            seat.next(SOON_S)
        assert house.status().generation > 3
        with pytest.raises(WorkerLost, match="did not come back"):
            house.open(face(2))
        wait_until(lambda: house.status().seats_used == 0)
        assert not house.status().ready
        house.broken = False
        wait_until(lambda: house.status().ready)
        assert len(film(house, 3)) == len(sound(3, 2.5))


def test_who_comes_while_an_engine_is_replaced_is_told_and_may_leave(config: Config) -> None:
    def leave(place: int) -> None:
        raise InterruptedError(place)

    with house_of(config) as house:
        house.broken = True
        house.kill(0)
        wait_until(lambda: house.status().state == "recovering")
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(house.open, face(1), on_place=leave)
            try:
                with pytest.raises(InterruptedError, match="1"):
                    coming.result(SOON_S / 4)
            finally:
                house.broken = False
        wait_until(lambda: house.status().seats_used == 0)


def test_in_our_own_process_an_engine_that_cannot_be_rebuilt_is_told_at_once(config: Config) -> None:
    with FakeHouse(config, isolated=False) as house, house.open(face(1)) as seat:
        house.kill(0)
        wait_until(lambda: house.status().generation == 2 and house.status().ready)
        seat.feed(sound(1, 1.0))
        assert is_own(seat.next(SOON_S), 1)  # type: ignore[arg-type]
        house.broken = True
        house.kill(0)
        with pytest.raises(WorkerLost, match="no weights today"):
            seat.next(SOON_S)
        with pytest.raises(WorkerLost, match="could not be started again"):
            house.open(face(2))
        assert house.status().state == "closed"


def test_an_engine_that_cannot_be_built_is_told_at_once(config: Config) -> None:
    class NoHouse(FakeHouse):
        broken = True

    with pytest.raises(CheckpointError, match="no weights today"):
        NoHouse(config)


def test_closing_does_not_wait_for_an_engine_that_is_still_being_built(config: Config) -> None:
    class SlowHouse(FakeHouse):
        def _build(self, config: Config, place: Place) -> FakeEngine:
            threading.Timer(0.0, self.close).start()
            for _ in range(2000):
                time.sleep(SOON_S / 2000)
            return super()._build(config, place)

    began_s, before = time.monotonic(), threading.active_count()
    with pytest.raises(EngineError, match="closed before the engine was ready"):
        SlowHouse(config)
    wait_until(lambda: threading.active_count() == before)  # a thread that computes while its process ends aborts it
    assert time.monotonic() - began_s < SOON_S / 4


def test_a_first_rank_that_cannot_be_started_is_told_at_once(config: Config) -> None:
    class NoHouse(FakeHouse):
        barren = True

    with pytest.raises(EngineError, match="could not be started"):
        NoHouse(config)


def test_losses_of_an_idle_engine_do_not_make_the_next_start_later(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "BACK_OFF_S", (0.0, 0.0, SOON_S))
    with house_of(config) as house:
        for generation in range(1, 6):
            wait_until(lambda known=generation: house.status().generation == known and house.status().ready)
            wait_until(lambda known=generation: known == 1 or house.status().counts.get("checked", 0) == known - 1)
            house.kill(0)
        wait_until(lambda: house.status().generation == 6 and house.status().ready)


# What a stream promises.


def test_sound_in_any_pieces_makes_the_same_film(house: FakeHouse) -> None:
    whole = sound(5, 3.3)
    with house.open(face(5), first_chunk_frames=17) as seat:
        for piece in np.array_split(whole, 97):
            seat.feed(piece)
        seat.finish()
        made = list(seat)
    assert [len(chunk.frames_FHWC) for chunk in made] == [12, 28, 28, 25]
    assert np.array_equal(np.concatenate([chunk.samples for chunk in made]), whole)


@pytest.mark.parametrize("samples", [0, 1, 639, CHUNK, CHUNK + 1])
def test_a_film_is_as_long_as_its_sound(house: FakeHouse, samples: int) -> None:
    with house.open(face(1)) as seat:
        seat.feed(np.zeros(samples, np.float32))
        seat.finish()
        made = list(seat)
        assert seat.next(0) is None
    assert sum(len(chunk.samples) for chunk in made) == samples
    assert sum(len(chunk.frames_FHWC) for chunk in made) == -(-samples // 640)


def test_interrupting_goes_back_to_what_was_shown(house: FakeHouse) -> None:
    with house.open(face(6)) as seat:
        seat.feed(sound(6, 5))
        for _ in range(4):
            seat.next(SOON_S)
        seat.interrupt(shown_chunks=2)
        with pytest.raises(TimeoutError):
            seat.next(0.1)
        seat.feed(sound(7, 1))
        chunk = seat.next(SOON_S)
        assert chunk is not None
        assert (chunk.index, chunk.first_frame) == (2, 56)
        assert np.array_equal(chunk.samples, sound(7, 1))
        with pytest.raises(InputError, match="cannot go back"):
            seat.interrupt(shown_chunks=9)


def test_an_interruption_survives_the_loss_of_the_engine(house: FakeHouse) -> None:
    with house.open(face(6)) as seat:
        seat.feed(sound(6, 3))
        for _ in range(3):
            seat.next(SOON_S)
        seat.interrupt(shown_chunks=1)
        house.kill(0)
        seat.feed(sound(7, 1))
        chunk = seat.next(SOON_S)
        assert chunk is not None
        assert chunk.index == 1
        assert np.array_equal(chunk.samples, sound(7, 1))


def test_no_more_than_a_few_chunks_are_made_before_they_are_taken(house: FakeHouse) -> None:
    with house.open(face(1)) as seat, house.open(face(2)) as other:
        seat.feed(sound(1, 9))
        other.feed(sound(2, 9))
        other.next(SOON_S)
        wait_until(lambda: sorted(house.engines[0].steps) == [1, 1, 2, 2, 2])
        seat.next(SOON_S)
        wait_until(lambda: sorted(house.engines[0].steps) == [1, 1, 1, 2, 2, 2])


def test_any_number_of_chunks_may_be_made_ahead(config: Config) -> None:
    with house_of(config, ahead_chunks=9) as house, house.open(face(1)) as seat:
        seat.feed(sound(1, 9))
        wait_until(lambda: len(house.engines[0].steps) == 9)
        seat.next(SOON_S)
        seat.interrupt()
        seat.feed(sound(2, 1))
        chunk = seat.next(SOON_S)
        assert chunk is not None
        assert chunk.index == 1


def test_a_film_has_its_sound_a_chunk_ahead(house: FakeHouse, tmp_path: Path) -> None:
    """A GPU encodes it beside the chunk."""
    soundfile.write(tmp_path / "voice.wav", sound(1, 3), 16000)
    with house.open(face(1)) as seat:
        voice = Voice(seat, str(tmp_path / "voice.wav"))
        assert [voice.last for _ in voice.chunks()] == [False, False, True]
    assert house.engines[0].heard == [2 * CHUNK, 2 * CHUNK, CHUNK]


def test_a_visitor_who_vanished_loses_the_seat(config: Config) -> None:
    with house_of(config, idle_s=0.2) as house, house.open(face(1)) as seat:
        with pytest.raises(EngineError, match="seat was given away") as error:
            seat.next(SOON_S)
        assert error.value.code == "idle"
        wait_until(lambda: house.status().seats_used == 0)


def test_sound_that_nobody_takes_is_refused_at_last(config: Config) -> None:
    with house_of(config, waiting_sound_s=10.0) as house, house.open(face(1)) as seat:
        seat.feed(np.zeros(13 * 16000, np.float32))
        with pytest.raises(InputError, match="take chunks") as error:
            seat.feed(np.zeros(1, np.float32))
        assert error.value.code == "audio_ahead"


def test_an_ended_stream_takes_no_more(house: FakeHouse) -> None:
    seat = house.open(face(1))
    seat.finish()
    with pytest.raises(SessionClosed):
        seat.feed(sound(1, 1))
    assert seat.next(SOON_S) is None
    seat.close()
    seat.close()
    assert seat.next(SOON_S) is None


def test_closing_the_house_wakes_everybody(config: Config) -> None:
    house = FakeHouse(config)
    seat, woken = house.open(face(1)), []

    def wait() -> None:
        with pytest.raises(SessionClosed):
            seat.next(SOON_S)
        woken.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    house.close()
    thread.join(SOON_S)
    assert woken == [True]
    with pytest.raises(EngineError):
        house.open(face(2))


# What is left.


def test_200_streams_leave_nothing(house: FakeHouse) -> None:
    def left() -> tuple[int, int, int]:
        wait_until(lambda: house.status().seats_used == 0)
        wait_until(lambda: house.engines[0].open_sessions == 0)
        return threading.active_count(), open_files(), house.engines[0].open_sessions

    film(house, 1)
    before = left()
    for number in range(200):
        seat = house.open(face(1 + number % 70))
        seat.feed(sound(1, 1.5))
        if number % 3 == 0:
            seat.finish()
        if number % 2 == 0:
            seat.next(SOON_S)
        elif number % 3:
            seat.interrupt()
        seat.close()
    assert left() == before


def test_a_closed_house_leaves_no_thread_and_no_socket(config: Config) -> None:
    before = threading.active_count(), open_files()
    with FakeHouse(config) as house:
        film(house, 1)
        house.kill(0)
        wait_until(lambda: house.status().generation == 2 and house.status().ready)
    assert (threading.active_count(), open_files()) == before


# Whether the engine is well.


@pytest.mark.parametrize(("ails", "loss"), [("hangs", "hung"), ("fails", "wrong"), ("paints", "wrong")])
def test_an_idle_engine_that_is_ill_is_replaced(config: Config, ails: str, loss: str) -> None:
    with house_of(config, canary_s=0.05) as house, house.open(face(1)) as seat:
        seat.feed(sound(1, 1.0))
        seat.next(SOON_S)
        wait_until(lambda: house.status().counts.get("checked", 0) >= 2)
        assert house.status().generation == 1
        house.engines[0].ails = ails
        wait_until(lambda: house.status().generation == 2 and house.status().ready)
        assert house.status().counts[loss] == 1
        seat.feed(sound(1, 2.0)[CHUNK:])
        assert is_own(seat.next(SOON_S), 1)  # type: ignore[arg-type]


def test_a_stream_of_no_numbers_puts_the_engine_to_the_test_and_hurts_no_neighbour(house: FakeHouse) -> None:
    with house.open(face(1)) as neighbour:
        for ails, generation in (("", 1), ("fails", 2)):
            house.engines[-1].ails = ails
            failing = house.open(face(NUMBERLESS))
            failing.feed(sound(2, 1.0))
            with pytest.raises(EngineError) as error:
                failing.next(SOON_S)
            assert error.value.code == "not_finite"
            wait_until(lambda known=generation: house.status().generation == known and house.status().ready)
            failing.close()
        neighbour.feed(sound(1, 1.0))
        assert is_own(neighbour.next(SOON_S), 1)  # type: ignore[arg-type]
