"""Long videos obey pause, cancel and the end of the app also while no chunk comes and when an attempt fails."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from flashtalk.errors import EngineError, Overloaded, WorkerLost
from flashtalk.serving.jobs import room
from flashtalk.serving.protocol import State
from tests.serving.job_kit import CHUNKS, OWNER, WAIT_S, PlainClient, made, order_of, room_in
from tests.serving.test_line import wait_until

SOON_S = 5.0
SILENCE_S = 8.0
"""A room that obeys nobody meanwhile fails its test, and still comes to an end."""


def fall_silent(client: PlainClient, chunks: int) -> None:
    """No chunk comes after so many, as while an engine is replaced."""
    count, until_s = itertools.count(), time.monotonic() + SILENCE_S

    def before() -> None:
        if next(count) >= chunks and time.monotonic() < until_s:
            time.sleep(0.01)
            raise TimeoutError

    client.before = before


@pytest.mark.parametrize("how", ["pause", "close"])
def test_a_film_stops_though_no_chunk_comes_and_loses_none(
    how: str, client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    ready = 5
    fall_silent(client, ready)
    with room_in(tmp_path / "stopped", client) as room:
        job = room.submit(order_of(inputs))
        wait_until(lambda: room.view(OWNER, job.id).job.frames == 8 * ready)
        asked_s = time.monotonic()
        if how == "pause":
            room.pause(OWNER, job.id)
            room.wait(job.id, ("paused",), SOON_S)
    assert time.monotonic() - asked_s < SOON_S
    count = itertools.count()
    client.before = lambda: next(count) and None
    with room_in(tmp_path / "stopped", client) as room:
        room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert next(count) == CHUNKS - ready
        assert room.folder(job.id).film.read_bytes() == made(tmp_path / "whole", client, inputs)


def test_a_film_and_a_part_made_again_are_cancelled_though_no_chunk_comes(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        whole = room.submit(order_of(inputs, "whole"))
        room.wait(whole.id, ("done",), WAIT_S)
        for begin in (
            lambda: room.submit(order_of(inputs, "film")),
            lambda: room.again(OWNER, whole.id, 0, 40, 5, "part"),
        ):
            fall_silent(client, 2)
            job = begin()
            wait_until(lambda known=job.id: room.view(OWNER, known).job.frames == 16)
            room.cancel(OWNER, job.id)
            room.wait(job.id, ("cancelled",), SOON_S)
            assert [path.name for path in room.folder(job.id).path.iterdir()] == ["job.json"]


@pytest.mark.parametrize("error", [Overloaded("all seats are taken"), WorkerLost("the engine is gone")], ids=repr)
@pytest.mark.parametrize(("how", "state"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_wish_counts_though_the_attempt_failed_meanwhile(
    how: str, state: str, error: EngineError, client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    tried, asked = threading.Event(), threading.Event()

    def fail() -> None:
        client.before = lambda: None
        tried.set()
        asked.wait(WAIT_S)
        raise error

    client.before = fail
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        tried.wait(WAIT_S)
        getattr(room, how)(OWNER, job.id)
        asked.set()
        assert room.wait(job.id, ("paused", "cancelled", "done", "failed"), WAIT_S).state == state


def test_who_waits_for_the_next_try_for_a_seat_is_obeyed_soon(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def refuse(*_arguments: object, **_options: object) -> None:
        tried.set()
        raise Overloaded("all seats are taken")

    monkeypatch.setattr(client, "open", refuse)
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        tried.wait(WAIT_S)
        room.cancel(OWNER, job.id)
        room.wait(job.id, ("cancelled",), SOON_S)


@pytest.mark.parametrize("state", ["recovering", "closed"])
def test_films_wait_for_an_engine_that_is_not_there_and_are_not_blamed(
    state: State, client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose() -> None:
        client.state = state
        raise WorkerLost("the engine did not come back")

    monkeypatch.setattr(room, "_LOOK_S", 0.05)
    client.before = lose
    with room_in(tmp_path, client) as jobs:
        film = jobs.submit(order_of(inputs))
        with pytest.raises(TimeoutError):
            jobs.wait(film.id, ("done", "failed"), 0.7)
        assert jobs.view(OWNER, film.id).place == 1
        client.before, client.state = lambda: None, "ready"
        assert jobs.wait(film.id, ("done", "failed"), WAIT_S).state == "done"
