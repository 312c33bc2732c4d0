"""Long videos: what is killed, paused or starved goes on to the very same film, and nobody meets others' films."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from flashtalk.errors import EngineError, InputError, Overloaded, WorkerLost
from flashtalk.media.label import ABOUT
from flashtalk.serving.door import Door
from flashtalk.serving.jobs import render
from flashtalk.serving.jobs.intake import take_in
from flashtalk.serving.jobs.record import Job, JobFolder
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.serving.jobs.rows import Rows, playlist
from flashtalk.serving.jobs.shelf import Shelf, View
from flashtalk.serving.jobs.span import JOIN_FRAMES, begin_span
from flashtalk.serving.jobs.splice import read_frames
from flashtalk.serving.journal import LOST, Entry, Journal
from flashtalk.ui.why import CHINESE
from tests.serving.job_kit import (
    CHUNKS,
    FRAMES,
    JOBS,
    OTHER,
    OWNER,
    SECONDS,
    WAIT_S,
    PlainClient,
    order_of,
    room_in,
    tiny,
    write_inputs,
)


def test_a_film_has_every_frame_and_all_of_its_sound(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(whole)
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == FRAMES
        assert film.streams.audio[0].rate == 48000
        assert {name: film.metadata[name] for name in ABOUT} == ABOUT
        assert abs(float(film.duration or 0) / 1e6 - SECONDS) < 0.05


def test_kill_nine_and_restart_give_the_same_film(
    client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        client.before = lambda: gate.wait(WAIT_S) and None
        gate = threading.Event()
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("rendering",), WAIT_S)
        room._closing = True
        gate.set()
    for chunks in (0, 5):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.serving.job_kit", str(tmp_path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(chunks + 1):
                process.stdout.readline()
            process.kill()
    client.before = lambda: None
    with room_in(tmp_path, client) as room:
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole
        rows = room.view(OWNER, job.id).rows
    assert [row.chunk for row in rows] == list(range(CHUNKS))


@pytest.mark.parametrize("at", [1, 4, 9])
def test_pause_frees_the_seat_and_resume_gives_the_same_film(
    at: int, client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        count = iter(range(1000))
        client.before = lambda: room.pause(OWNER, job.id) if next(count) == at and job_is_there.wait(WAIT_S) else None
        job_is_there = threading.Event()
        job = room.submit(order_of(inputs))
        job_is_there.set()
        state = room.wait(job.id, ("paused", "done"), WAIT_S)
        if at < CHUNKS - 1:
            assert state.state == "paused"
            assert state.frames == 8 * (at + 1)
            room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole


def test_cancel_leaves_a_record_and_nothing_else(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        gate = threading.Event()
        client.before = lambda: gate.wait(WAIT_S) and None
        job, waiting = room.submit(order_of(inputs)), room.submit(order_of(inputs, "two"))
        room.wait(job.id, ("rendering",), WAIT_S)
        assert room.view(OWNER, waiting.id).place == 1
        room.cancel(OWNER, waiting.id)
        room.cancel(OWNER, job.id)
        gate.set()
        for one in (job, waiting):
            assert room.wait(one.id, ("cancelled", "done"), WAIT_S).state == "cancelled"
            assert [path.name for path in room.folder(one.id).path.iterdir()] == ["job.json"]
        room.remove(OWNER, job.id)
        assert [view.job.id for view in room.jobs(OWNER)] == [waiting.id]
        assert not room.folder(job.id).path.exists()


def test_one_key_is_one_job_even_at_the_same_moment(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        ids: list[str] = []
        threads = [threading.Thread(target=lambda: ids.append(room.submit(order_of(inputs)).id)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(ids)) == 1
        assert len(ids) == 4
        assert room.submit(order_of(inputs, owner=OTHER)).id not in ids
        assert room.wait(ids[0], ("done",), WAIT_S)
        assert room.submit(order_of(inputs)).id == ids[0]


def test_the_key_of_a_cancelled_film_is_free(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    """A program's is made of what it asks for: it would get the cancelled film for as long as that is kept."""
    with room_in(tmp_path, client) as room:
        gate = threading.Event()
        client.before = lambda: gate.wait(WAIT_S) and None
        job = room.submit(order_of(inputs))
        room.cancel(OWNER, job.id)
        gate.set()
        room.wait(job.id, ("cancelled",), WAIT_S)
        anew = room.submit(order_of(inputs))
        assert room.wait(anew.id, ("done", "cancelled"), WAIT_S).state == "done"
        assert room.submit(order_of(inputs)).id == anew.id


def test_a_full_disk_pauses_the_film_and_room_gives_the_same_film(
    client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(1000))

    def full(*_arguments: object) -> None:
        if next(calls) == 2:
            raise EngineError("No room on the disk.", code="disk_full")

    monkeypatch.setattr(render, "demand_room", full)
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        paused = room.wait(job.id, ("paused", "done", "failed"), WAIT_S)
        assert (paused.state, paused.reason) == ("paused", "No room on the disk.")
        room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole


@pytest.mark.parametrize("changes", [{"format": 1}, {"format": 99, "renamed": 0}, {"film": {"bytes": 1}}])
def test_a_film_begun_by_another_version_is_made_from_its_beginning(
    changes: dict[str, Any], client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        count = iter(range(1000))
        client.before = lambda: room.pause(OWNER, job.id) if next(count) == 4 and job_is_there.wait(WAIT_S) else None
        job_is_there = threading.Event()
        job = room.submit(order_of(inputs))
        job_is_there.set()
        assert room.wait(job.id, ("paused", "done"), WAIT_S).state == "paused"
        folder = room.folder(job.id)
        index = folder.path / "film.journal" / "journal.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | changes))
        for state in folder.states.iterdir():
            state.unlink()  # it shares its bytes with the session's file
            state.write_bytes(b"of another version")
        room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert folder.film.read_bytes() == whole
        assert all(state.read_bytes() != b"of another version" for state in folder.states.iterdir())


def test_a_journal_that_the_disk_does_not_give_is_not_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "film.mp4")
    journal.write(Entry(inputs={}, film={}, frames=0))

    def fail(*_arguments: object, **_options: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(EngineError, match="Too many open files") as caught:
        journal.read()
    assert caught.value.code not in LOST


def test_an_order_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with room_in(tmp_path, client, min_free_bytes=shutil.disk_usage(tmp_path).total) as room:
        with pytest.raises(EngineError, match="try a shorter one") as caught:
            room.submit(order_of(inputs))
        assert caught.value.code == "disk_full"
        assert not list(tmp_path.iterdir())


def test_bad_uploads_leave_nothing(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client) as room:
        for swapped in ((inputs[1], inputs[1]), (inputs[0], inputs[0])):
            with pytest.raises(InputError):
                room.submit(order_of(swapped))
        assert not list(tmp_path.iterdir())
        assert room.jobs(OWNER) == []


def test_uploads_that_go_or_change_while_their_job_waits_for_the_door_are_read_all_the_same(
    client: PlainClient, whole: bytes, tmp_path: Path
) -> None:
    class SlowDoor(Door):
        def picture(self, path: str | Path) -> np.ndarray:
            portrait.unlink()
            return super().picture(path)

        def film_sound(self, path: str | Path, *given: Any, **named: Any) -> Any:
            if len(given) == 1:  # the second time
                shutil.copy(portrait.with_name("other.wav"), sound.with_name("new.wav")).replace(sound)
            return super().film_sound(path, *given, **named)

    (tmp_path / "other.wav").write_bytes(b"no sound")
    portrait, sound = write_inputs(tmp_path, SECONDS)
    with JobRoom(tmp_path / "jobs", client, SlowDoor(), JOBS) as room:  # type: ignore[arg-type]
        job = room.submit(order_of((portrait, sound)))
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole
        assert not list(room.folder(job.id).path.glob("brought*"))


def test_what_is_no_plain_file_is_not_taken_in(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(inputs[1])
    with room_in(tmp_path / "jobs", client) as room:
        for odd in (link, tmp_path, tmp_path / "nothing.wav", Path("/dev/zero")):
            with pytest.raises(InputError) as refused:
                room.submit(order_of((inputs[0], odd)))
            assert refused.value.code == "upload_gone"


def test_a_lost_engine_is_tried_again_but_not_for_ever(
    client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    count = iter(range(1000))

    def lose(moments: tuple[int, ...]) -> None:
        if next(count) in moments:
            raise WorkerLost("the engine is gone")

    with room_in(tmp_path, client) as room:
        client.before = lambda: lose((3, 6))
        job = room.submit(order_of(inputs))
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole
        client.before = lambda: lose(tuple(range(1000)))
        job = room.submit(order_of(inputs, "two"))
        failed = room.wait(job.id, ("done", "failed"), WAIT_S)
        assert (failed.state, failed.reason, failed.reason_code) == ("failed", "the engine is gone", "worker_lost")


def test_others_meet_nothing(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        assert room.jobs(OTHER) == []
        for call in (room.job, room.view, room.pause, room.cancel, room.resume, room.remove):
            with pytest.raises(InputError, match="no such film") as caught:
                call(OTHER, job.id)
            assert caught.value.code == "job_unknown"
        assert room.by_token(job.id, "wrong") is None
        assert room.by_token("../" + job.id, job.token) is None
        assert room.by_token(job.id, job.token) is not None


def test_a_visitor_cannot_fill_the_room(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client, per_owner=1, waiting=2) as room:
        gate = threading.Event()
        client.before = lambda: gate.wait(WAIT_S) and None
        room.submit(order_of(inputs))
        with pytest.raises(Overloaded, match="unfinished films") as own:
            room.submit(order_of(inputs, "two"))
        room.submit(order_of(inputs, owner=OTHER))
        with pytest.raises(Overloaded, match="wait already") as all_of_them:
            room.submit(order_of(inputs, owner="c" * 32))
        assert (own.value.code, all_of_them.value.code) == ("films_enough", "overloaded")
        gate.set()


def test_new_tokens_give_one_browser_or_address_no_more_films(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paused ones count, and after a restart, too."""
    monkeypatch.setattr(JobRoom, "_next_job", lambda _room: None)  # all of them wait
    tokens = (f"{number:032d}" for number in range(99))

    def submit(room: JobRoom, asker: str, address: str) -> Job:
        return room.submit(order_of(inputs, owner=next(tokens), asker=asker, address=address))

    with room_in(tmp_path, client, per_owner=2, per_address=3) as room:
        for _ in range(2):
            job = submit(room, "anna", "home")
        room.pause(job.owner, job.id)
        for _ in range(4):
            submit(room, "", "")
    with room_in(tmp_path, client, per_owner=2, per_address=3) as room:
        with pytest.raises(Overloaded, match="You have 2 unfinished films"):
            submit(room, "anna", "elsewhere")
        submit(room, "bob", "home")
        with pytest.raises(Overloaded, match="Your address has 3 unfinished films") as refused:
            submit(room, "carl", "home")
        assert refused.value.code == "films_enough"
        room.resume(job.owner, job.id)
        room.cancel(job.owner, job.id)
        submit(room, "anna", "home")
    with room_in(tmp_path, client, kept_per_asker=2) as room:
        with pytest.raises(Overloaded, match="or your address, has 2 films here") as kept:
            submit(room, "anna", "home")
        assert kept.value.code == "films_kept"
        submit(room, "bob", "home")


def test_cancelled_films_shut_nobody_out_and_the_oldest_of_many_go(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobRoom, "_next_job", lambda _room: None)  # all of them wait
    with room_in(tmp_path, client, kept_per_owner=2, kept_per_asker=2) as room:
        ids = []
        for number in range(4):
            ids.append(room.submit(order_of(inputs, str(number), asker="anna")).id)
            room.cancel(OWNER, ids[-1])
        kept = room.submit(order_of(inputs, "kept", asker="anna")).id
        other = room.submit(order_of(inputs, owner=OTHER)).id
        room.sweep()
        assert {view.job.id for view in room.jobs(OWNER)} == {*ids[2:], kept}
        assert room.jobs(OTHER)[0].job.id == other


def test_who_asks_for_what_is_being_read_does_not_wait_for_ever(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        begun.set()
        go_on.wait(WAIT_S)
        return take_in(*given)

    monkeypatch.setattr("flashtalk.serving.jobs.room.take_in", slow)
    monkeypatch.setattr("flashtalk.serving.jobs.room._INTAKE_S", 0.1)
    with room_in(tmp_path, client) as room, ThreadPoolExecutor(1) as pool:
        first = pool.submit(room.submit, order_of(inputs))
        assert begun.wait(WAIT_S)
        with pytest.raises(Overloaded, match="still being read") as refused:
            room.submit(order_of(inputs))
        assert refused.value.code in CHINESE
        go_on.set()
        assert first.result(WAIT_S).id == room.submit(order_of(inputs)).id


def test_an_accident_with_files_ends_neither_the_making_nor_the_sweeping(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashtalk.serving.jobs.room._SWEEP_S", 0.05)
    sweeps, real = threading.Semaphore(0), Shelf.view

    def fails(self: Shelf, *_: object) -> None:
        sweeps.release()
        raise PermissionError

    def fails_once(self: Shelf, job: Job) -> View:
        monkeypatch.setattr(Shelf, "view", real)
        raise PermissionError

    monkeypatch.setattr(Shelf, "clear_strays", fails)
    monkeypatch.setattr(Shelf, "view", fails_once)
    with room_in(tmp_path, client) as room:
        first, second = (room.submit(order_of(inputs, key)) for key in ("one", "two"))
        assert room.wait(second.id, ("done",), WAIT_S)
        assert room.job(OWNER, first.id).state == "done"
        assert all(sweeps.acquire(timeout=WAIT_S) for _ in range(3))


@pytest.mark.parametrize(("where", "error"), [("rows", SystemExit), ("_after", RuntimeError)])
def test_however_a_film_breaks_off_it_says_so_and_the_next_is_made(
    where: str,
    error: type[BaseException],
    client: PlainClient,
    inputs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place: Any = {"rows": Shelf, "_after": JobRoom}[where]

    def breaks(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise error

    monkeypatch.setattr(place, where, breaks)
    if where == "_after":
        monkeypatch.setattr(client, "before", lambda: (_ for _ in ()).throw(EngineError("no")))
    with room_in(tmp_path, client) as room:
        first, second = (room.submit(order_of(inputs, key)) for key in ("one", "two"))
        broken = room.wait(first.id, ("failed",), WAIT_S)
        assert (broken.reason_code, broken.reason[-1]) == ("inside", ".")
        assert room.wait(second.id, ("done",), WAIT_S)
        room.resume(OWNER, first.id)
        assert room.wait(first.id, ("done", "failed"), WAIT_S).state == "done"


def test_who_ordered_is_in_the_record_and_old_records_have_none(tmp_path: Path) -> None:
    job = JobFolder(tmp_path)
    known = Job(
        id="a", owner="b", key="c", token="d", title="", prompt="", stream=tiny().stream, label=True, picture_height=1,
        picture_width=1, channels=1, samples=1, created_s=0.0, changed_s=0.0, asker="anna", address="home",
    )  # fmt: skip
    job.write(known)
    assert job.read() == known
    tree = json.loads((tmp_path / "job.json").read_text())
    del tree["asker"], tree["address"]
    (tmp_path / "job.json").write_text(json.dumps(tree))
    assert (job.read().asker, job.read().address) == ("", "")


def test_old_jobs_go_and_young_ones_stay(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        done = room.wait(job.id, ("done",), WAIT_S)
        folder = room.folder(job.id)
        room.sweep(done.changed_s + JOBS.preview_s - 1)
        assert folder.preview.exists()
        room.sweep(done.changed_s + JOBS.preview_s + 1)
        assert not folder.preview.exists()
        assert folder.film.exists()
        room.sweep(done.changed_s + JOBS.keep_s + 1)
        assert not folder.path.exists()
        assert room.jobs(OWNER) == []


def test_the_playlist_plays_what_is_there(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("done",), WAIT_S)
        folder, rows = room.folder(job.id), room.view(OWNER, job.id).rows
    text = playlist(rows[:4], 25, ended=False)
    assert "ENDLIST" not in text
    assert text.count(".m4s") == 4
    data = folder.preview.read_bytes()
    watched = tmp_path / "watched.mp4"
    watched.write_bytes(data[: rows[0].at] + b"".join(data[row.at : row.at + row.size] for row in rows[:4]))
    with av.open(str(watched)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4 * 8


def test_there_is_an_end_to_what_one_visitor_keeps(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with room_in(tmp_path, client, kept_per_owner=1) as room:
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("done",), WAIT_S)
        for again in (
            lambda: room.submit(order_of(inputs, "two")),
            lambda: room.again(OWNER, job.id, 0, 9, 5, "three"),
        ):
            with pytest.raises(Overloaded, match="remove one") as refused:
                again()
            assert refused.value.code == "films_kept"
        room.remove(OWNER, job.id)
        assert room.submit(order_of(inputs, "two")).id != job.id


def test_parts_made_again_at_the_same_moment_are_counted_and_one_key_is_one(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room_in(tmp_path, client, per_owner=2) as room, ThreadPoolExecutor(6) as pool:
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("done",), WAIT_S)
        refused, told = threading.Event(), threading.Event()
        client.before = lambda: told.wait(WAIT_S) and None

        def slow(*given: Any) -> None:
            refused.wait(3)
            begin_span(*given)

        def again(key: str) -> str:
            try:
                return room.again(OWNER, job.id, 0, 9, 5, key).id
            except Overloaded as error:
                refused.set()
                return error.code

        monkeypatch.setattr("flashtalk.serving.jobs.room.begin_span", slow)
        ids = list(pool.map(again, "aabbcc"))
        told.set()
    assert ids[::2] == ids[1::2]
    assert ids[::2].count("films_enough") == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_part_that_does_not_fit_on_the_disk_is_refused_and_leaves_nothing(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("done",), WAIT_S)
        full = shutil.disk_usage(tmp_path)._replace(free=room.folder(job.id).film.stat().st_size)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
        with pytest.raises(EngineError) as refused:
            room.again(OWNER, job.id, 0, 9, 5, "again")
        assert refused.value.code == "disk_full"
        assert [path.name for path in tmp_path.iterdir()] == [job.id]


def test_what_is_nobodys_goes_by_its_age(client: PlainClient, tmp_path: Path) -> None:
    stray = tmp_path / "stray"
    stray.mkdir()
    (stray / "job.json").write_text("{torn")
    with room_in(tmp_path, client) as room:
        room.sweep()
        assert stray.exists()
        room.sweep(stray.stat().st_mtime + JOBS.keep_s + 1)
        assert not stray.exists()


def test_a_torn_row_is_dropped(client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        room.wait(job.id, ("done",), WAIT_S)
    path = JobFolder(tmp_path / job.id).rows
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5]) + lines[5][:-9])
    assert [row.chunk for row in Rows(path).all] == [0, 1, 2, 3, 4]


def test_a_part_made_again_changes_only_that_part(
    client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path
) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs, label=False))
        room.wait(job.id, ("done",), WAIT_S)
        same = room.again(OWNER, job.id, 26, 31, seed=job.stream.seed, key="same")
        new = room.again(OWNER, job.id, 30, 41, seed=5, key="new")
        assert room.again(OWNER, job.id, 30, 41, seed=5, key="new").id == new.id
        assert (new.span and (new.span.first, new.span.end)) == (24, 48)
        for one in (same, new):
            done = room.wait(one.id, ("done", "failed"), WAIT_S)
            assert done.state == "done", done.reason
        old, unchanged, changed = (
            read_frames(room.folder(one.id).film, 0, FRAMES, 25).astype(int) for one in (job, same, new)
        )
        # The last frames of a part fade into the old ones, which were coded once more than they.
        assert np.array_equal(old[: 32 - JOIN_FRAMES], unchanged[: 32 - JOIN_FRAMES])
        assert np.array_equal(old[32:], unchanged[32:])
        assert np.abs(old - unchanged).mean() < 1
        different = np.flatnonzero((old != changed).any(axis=(1, 2, 3)))
        assert different.min() == 24
        assert different.max() == 47
        assert np.abs(old - changed)[24:42].mean() > 2 * np.abs(old - unchanged)[24:32].mean()
        away = np.abs(old - changed).mean(axis=(1, 2, 3))
        assert away[47] < 0.5 * away[24:42].mean(), "the last new frame is nearly the old one, which the next follows"
        assert packets(room.folder(job.id).film, 1) == packets(room.folder(new.id).film, 1)
        with av.open(str(room.folder(new.id).film)) as film:
            assert {name: film.metadata[name] for name in ABOUT} == ABOUT
        with pytest.raises(InputError, match="must be complete"):
            room.again(OWNER, job.id, 10, FRAMES + 1, seed=5, key="beyond")


def packets(film: Path, stream: int) -> list[tuple[int | None, bytes]]:
    with av.open(str(film)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(container.streams[stream]) if packet.size]
