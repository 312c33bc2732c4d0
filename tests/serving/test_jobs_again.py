"""A part of a long film made again: from any state that was kept, of a part's film too, and after a kill at its end."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

from flashtalk.serving.jobs import splice
from flashtalk.serving.jobs.record import Job
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.serving.jobs.span import JOIN_FRAMES
from flashtalk.serving.jobs.splice import read_frames
from tests.serving.job_kit import CHUNKS, FRAMES, OWNER, WAIT_S, PlainClient, order_of, room_in
from tests.serving.test_jobs_wishes import fall_silent
from tests.serving.test_line import wait_until

FPS, CHUNK_FRAMES = 25, 8


def done(room: JobRoom, job: Job) -> Job:
    ended = room.wait(job.id, ("done", "failed"), WAIT_S)
    assert ended.state == "done", ended.reason
    return ended


def pictures(room: JobRoom, job: Job) -> np.ndarray:
    return read_frames(room.folder(job.id).film, 0, FRAMES, FPS)


def changed_frames(room: JobRoom, old: Job, new: Job) -> list[int]:
    """All that differ."""
    differ = pictures(room, old) != pictures(room, new)
    return [int(frame) for frame in np.flatnonzero(differ.any(axis=(1, 2, 3)))]


@pytest.mark.parametrize("ready", [3, 8])
def test_a_part_begins_with_no_state_that_was_given_the_next_chunks_sound_already(
    ready: int, client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Such a one is saved by a pause while no chunk comes. At 8 of 10 chunks all of the sound was fed."""
    frame = CHUNK_FRAMES * ready
    fall_silent(client, ready)
    with room_in(tmp_path, client, journal_chunks=5, state_every_s=frame / FPS) as room:
        film = room.submit(order_of(inputs, label=False))
        wait_until(lambda: room.view(OWNER, film.id).job.frames == frame)
        room.pause(OWNER, film.id)
        room.wait(film.id, ("paused",), WAIT_S)
        client.before = lambda: None
        room.resume(OWNER, film.id)
        done(room, film)
        part = done(room, room.again(OWNER, film.id, frame, frame + 9, film.stream.seed, "again"))
        last = range(frame + 2 * CHUNK_FRAMES - JOIN_FRAMES, frame + 2 * CHUNK_FRAMES)
        assert set(changed_frames(room, film, part)) <= set(last), "only the way over to the old pictures is coded anew"


def test_a_film_of_which_a_part_was_made_again_has_the_states_for_all_other_parts(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    count = itertools.count()
    with room_in(tmp_path, client) as room:
        film = done(room, room.submit(order_of(inputs, label=False)))
        kept = [int(path.stem) for path in room.folder(film.id).states.iterdir()]
        assert sorted(kept) == [0, 32, 64]
        middle = done(room, room.again(OWNER, film.id, 40, 41, 5, "middle"))
        client.before = lambda: next(count) and None
        early = done(room, room.again(OWNER, middle.id, 0, 1, 5, "early"))
        late = done(room, room.again(OWNER, middle.id, 64, 65, 5, "late"))
        assert next(count) == 2, "each has a state right before it"
        assert changed_frames(room, middle, early) == list(range(8))
        assert changed_frames(room, middle, late) == list(range(64, 72))


def test_a_part_within_a_part_goes_on_from_the_picture_before_it(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    """With the seed that made those pictures it gives them once more; only the way over to the old ones is new."""
    with room_in(tmp_path, client) as room:
        film = done(room, room.submit(order_of(inputs, label=False)))
        part = done(room, room.again(OWNER, film.id, 24, 56, 5, "part"))
        within = done(room, room.again(OWNER, part.id, 32, 48, 7, "within"))
        for old, first, seed in ((within, 40, 7), (within, 48, 5), (within, 56, film.stream.seed)):
            new = done(room, room.again(OWNER, old.id, first, first + 1, seed, f"{old.id} {first}"))
            end = first + CHUNK_FRAMES
            assert set(changed_frames(room, old, new)) <= set(range(end - JOIN_FRAMES, end)), (first, seed)
        assert set(range(32, 42)) <= set(changed_frames(room, part, within))


def test_a_part_killed_beside_its_finished_film_has_its_rows_and_nothing_else(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_folder: Path) -> None:
        monkeypatch.undo()
        raise SystemExit

    with room_in(tmp_path, client) as room:
        film = done(room, room.submit(order_of(inputs)))
        gate = threading.Event()
        client.before = lambda: gate.wait(WAIT_S) and None
        part = room.again(OWNER, film.id, 30, 41, 5, "part")
        monkeypatch.setattr(splice, "sync_folder", kill)
        gate.set()
        assert room.wait(part.id, ("done", "failed"), WAIT_S).state == "failed"
        folder = room.folder(part.id)
        assert folder.film.exists()
        room.resume(OWNER, part.id)
        assert done(room, part).frames == FRAMES
        rows, old = room.view(OWNER, part.id).rows, room.view(OWNER, film.id).rows
        assert [row.frame for row in rows] == list(range(0, CHUNK_FRAMES * CHUNKS, CHUNK_FRAMES))
        assert [row.frame for row, before in zip(rows, old, strict=True) if row != before] == [24, 32, 40]
        assert not folder.base.exists()
        assert not folder.clip.exists()
        done(room, room.again(OWNER, part.id, 64, 65, 5, "again"))
