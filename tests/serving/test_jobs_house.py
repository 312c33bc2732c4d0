"""Long videos over the served engine: the same film as over a bare one, also when it is stopped in the middle."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flashtalk.media.mp4 import part_path
from flashtalk.serving.client import connect
from flashtalk.serving.jobs import render
from flashtalk.serving.protocol import Client
from tests.serving.job_kit import OWNER, WAIT_S, PlainClient, made, order_of, room_in, tiny

ROOM_FOR_CHUNKS = 3


@pytest.fixture(scope="module")
def house() -> Iterator[Client]:
    with connect(tiny(), isolated=False) as client:
        yield client


def test_a_served_engine_makes_the_same_film(
    house: Client, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    assert made(tmp_path, house, inputs) == whole  # type: ignore[arg-type]


@pytest.mark.parametrize("patience_s", [1.0, 0.001])
def test_closing_the_room_in_the_middle_loses_nothing(
    house: Client,
    inputs: tuple[Path, Path],
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience_s: float,
) -> None:
    """Whether it waits for the next chunk or not."""
    monkeypatch.setattr(render, "_PATIENCE_S", patience_s)
    frames = []
    for _ in range(60):
        with room_in(tmp_path, house) as room:  # type: ignore[arg-type]
            job = room.submit(order_of(inputs))
            try:
                room.wait(job.id, ("done", "failed"), 0.15)
            except TimeoutError:
                frames.append(room.view(OWNER, job.id).job.frames)
                continue
            break
    assert frames == sorted(frames)
    assert room.job(OWNER, job.id).state == "done"
    assert room.folder(job.id).film.read_bytes() == whole


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited there")
def test_a_film_that_may_not_grow_pauses_and_goes_on(inputs: tuple[Path, Path], whole: bytes, tmp_path: Path) -> None:
    client = PlainClient(tiny())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with room_in(tmp_path, client) as room:
        count = iter(range(1000))

        def limit() -> None:
            if next(count) == ROOM_FOR_CHUNKS:
                (part,) = tmp_path.glob("*/film.part.mp4")
                resource.setrlimit(resource.RLIMIT_FSIZE, (part.stat().st_size + 1000, before[1]))

        client.before = limit
        try:
            job = room.submit(order_of(inputs))
            paused = room.wait(job.id, ("paused", "done", "failed"), WAIT_S)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert paused.state == "paused"
        assert "No room on the disk" in paused.reason
        assert str(tmp_path) not in paused.reason
        assert part_path(room.folder(job.id).film).exists()
        room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole


def test_another_models_film_is_not_continued(house: Client, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, house) as room:  # type: ignore[arg-type]
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("rendering",), WAIT_S)
        room.pause(OWNER, job.id)
        paused = room.wait(job.id, ("paused", "done"), WAIT_S)
    if paused.state == "done":
        pytest.skip("it was faster than the pause")
    for session in room.folder(job.id).path.glob("film.journal/session-*"):
        session.write_bytes(b"of another")
    with room_in(tmp_path, house) as room:  # type: ignore[arg-type]
        room.resume(OWNER, job.id)
        failed = room.wait(job.id, ("done", "failed"), WAIT_S)
        assert failed.state == "failed"
        assert "saved session" in failed.reason
