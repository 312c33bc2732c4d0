"""A part of a long film that is paused, starved or killed while it is made goes on where it was, to the same film."""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flashtalk.errors import Overloaded, WorkerLost
from flashtalk.serving.jobs.record import Job, JobFolder, Span
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.serving.jobs.span import begin_span, job_of_span
from flashtalk.serving.protocol import OnPlace, Stream
from tests.serving.job_kit import OWNER, WAIT_S, PlainClient, order_of, room_in
from tests.serving.test_jobs_again import done

FIRST, END = 24, 64
WALK, CHUNKS = 3, 5
"""From the state at 0 to the part, and in it."""


@dataclass(frozen=True)
class Finished:
    """A finished film in a folder of films, and what it becomes when the part is made again undisturbed."""

    folder: Path
    film: Job
    whole: bytes

    def copied(self, path: Path) -> Path:
        """One of a test's own."""
        return shutil.copytree(self.folder, path / "films")

    def again(self, room: JobRoom) -> Job:
        return room.again(OWNER, self.film.id, FIRST, END, 5, "part")


@pytest.fixture(scope="module")
def finished(undisturbed: PlainClient, inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    with room_in(folder, undisturbed) as room:
        film = done(room, room.submit(order_of(inputs)))
        part = done(room, room.again(OWNER, film.id, FIRST, END, 5, "undisturbed"))
        whole = room.folder(part.id).film.read_bytes()
        room.remove(OWNER, part.id)
    return Finished(folder, film, whole)


def count_calls(client: PlainClient) -> Callable[[], int]:
    """How many chunks are asked for from now on."""
    count = itertools.count()
    client.before = lambda: next(count) and None
    return lambda: next(count)


@pytest.mark.parametrize(("how", "ready"), [("pause", 2), ("close", WALK), ("pause", WALK + 3)])
def test_a_part_that_stops_loses_no_chunk(
    how: str, ready: int, client: PlainClient, finished: Finished, tmp_path: Path
) -> None:
    silent, count = threading.Event(), itertools.count()

    def fall_silent() -> None:
        if next(count) >= ready:
            silent.set()
            stopped.wait(0.01)
            raise TimeoutError

    stopped = threading.Event()
    with room_in(finished.copied(tmp_path), client, journal_chunks=100) as room:
        client.before = fall_silent
        part = finished.again(room)
        assert silent.wait(WAIT_S)
        if how == "pause":
            room.pause(OWNER, part.id)
            room.wait(part.id, ("paused",), WAIT_S)
    calls = count_calls(client)
    with room_in(tmp_path / "films", client) as room:
        room.resume(OWNER, part.id)
        folder = room.folder(done(room, part).id)
        assert calls() == WALK + CHUNKS - ready
        assert folder.film.read_bytes() == finished.whole
        assert not list(folder.path.glob("clip*"))


@pytest.mark.parametrize("at", [2, 7])
def test_what_takes_the_engine_from_a_part_costs_no_more_than_its_last_journal(
    at: int, client: PlainClient, finished: Finished, tmp_path: Path
) -> None:
    """Every second chunk."""
    count = itertools.count()

    def lose() -> None:
        if next(count) == at:
            raise WorkerLost("the engine is gone")

    with room_in(finished.copied(tmp_path), client) as room:
        client.before = lose
        part = done(room, finished.again(room))
        assert next(count) <= WALK + CHUNKS + 2, "the one that failed, and one before it"
        assert room.folder(part.id).film.read_bytes() == finished.whole


def test_a_part_that_found_no_seat_behind_its_way_there_goes_no_way_twice(
    client: PlainClient, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashtalk.serving.jobs.room._SEAT_S", 0.01)
    seats, real = itertools.count(), client.restore

    def refuse(*given: object, **named: object) -> object:
        if next(seats) in (1, 2):
            raise Overloaded("all seats are taken")
        return real(*given, **named)  # type: ignore[arg-type]

    with room_in(finished.copied(tmp_path), client) as room:
        calls = count_calls(client)
        monkeypatch.setattr(client, "restore", refuse)
        part = done(room, finished.again(room))
        assert calls() == WALK + CHUNKS
        assert room.folder(part.id).film.read_bytes() == finished.whole


def test_a_part_says_its_place_while_it_waits_for_a_seat(
    client: PlainClient, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, real = [], client.restore

    def wait(path: Path, *, on_place: OnPlace, **named: object) -> Stream:
        on_place(3)
        seen.append(room.view(OWNER, room.jobs(OWNER)[0].job.id).place)
        return real(path, on_place=on_place)

    def make() -> None:
        seen.append(room.view(OWNER, room.jobs(OWNER)[0].job.id).place)

    monkeypatch.setattr(client, "restore", wait)
    client.before = make
    with room_in(finished.copied(tmp_path), client) as room:
        done(room, finished.again(room))
    assert seen == [3, *[None] * WALK, 3, *[None] * CHUNKS]


def test_a_part_whose_film_does_not_fit_on_the_disk_waits_for_room(
    client: PlainClient, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, disk = itertools.count(), shutil.disk_usage(tmp_path)

    def fill() -> None:
        if next(count) == WALK + CHUNKS - 1:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(free=1))

    with room_in(finished.copied(tmp_path), client) as room:
        client.before = fill
        part = room.wait(finished.again(room).id, ("done", "paused", "failed"), WAIT_S)
        assert (part.state, part.reason_code) == ("paused", "disk_full")
        assert not list(room.folder(part.id).path.glob("film*")), "nothing half-written"
        monkeypatch.undo()
        calls = count_calls(client)
        room.resume(OWNER, part.id)
        done(room, part)
        assert calls() == 0
        assert room.folder(part.id).film.read_bytes() == finished.whole


def test_a_part_pauses_before_it_takes_what_must_stay_free(
    client: PlainClient, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room_in(finished.copied(tmp_path), client) as room:
        gate, count = threading.Event(), itertools.count()
        client.before = lambda: gate.wait(WAIT_S) and next(count) and None
        part = finished.again(room)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, -1))
        gate.set()
        part = room.wait(part.id, ("done", "paused", "failed"), WAIT_S)
        assert (part.state, part.reason_code) == ("paused", "disk_full")
        assert next(count) == 2, "it looks every second chunk"


@pytest.mark.parametrize("torn", ["journal.json", "clip.part.mp4"])
def test_a_part_whose_place_is_damaged_is_made_from_its_beginning(
    torn: str, client: PlainClient, finished: Finished, tmp_path: Path
) -> None:
    with room_in(finished.copied(tmp_path), client) as room:
        count = itertools.count()
        client.before = lambda: room.pause(OWNER, part.id) if next(count) == WALK + 2 and there.wait(WAIT_S) else None
        there = threading.Event()
        part = finished.again(room)
        there.set()
        room.wait(part.id, ("paused",), WAIT_S)
        next(room.folder(part.id).path.rglob(torn)).write_bytes(b"{torn")
        client.before = lambda: None
        room.resume(OWNER, part.id)
        assert room.folder(done(room, part).id).film.read_bytes() == finished.whole


def test_what_a_part_needs_of_its_film_is_on_the_disk_before_it_counts(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    folder = JobFolder(tmp_path / "part")
    folder.path.mkdir()
    job = job_of_span(finished.film, Span(parent=finished.film.id, first=FIRST, end=END, seed=5), "part")
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino))
    begin_span(finished.film, JobFolder(finished.folder / finished.film.id), folder, job)
    assert {folder.base_rows.stat().st_ino, folder.states.stat().st_ino} <= synced
