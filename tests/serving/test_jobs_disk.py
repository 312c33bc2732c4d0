"""What kills, power cuts, full disks and wrong clocks leave of long films: nothing that was removed, nothing torn."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flashtalk.errors import EngineError
from flashtalk.media.mp4 import part_path
from flashtalk.serving.jobs.record import JobFolder
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.serving.jobs.shelf import Shelf
from tests.serving.job_kit import JOBS, OWNER, WAIT_S, PlainClient, order_of, room_in
from tests.serving.test_line import wait_until


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> None:
    """All films wait."""
    monkeypatch.setattr(JobRoom, "_next_job", lambda _room: None)


def killed(*_: object) -> None:
    raise SystemExit


def test_a_kill_while_a_film_is_removed_brings_nothing_of_it_back(
    client: PlainClient,
    inputs: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resting: None,
) -> None:
    real = shutil.rmtree

    def dies(path: Path, **_: object) -> None:
        for file in path.iterdir():
            if file.name != "job.json":
                file.unlink()
        monkeypatch.setattr(shutil, "rmtree", real)
        raise SystemExit

    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        monkeypatch.setattr(shutil, "rmtree", dies)
        with pytest.raises(SystemExit):
            room.remove(OWNER, job.id)
    with room_in(tmp_path, client) as room:
        assert room.jobs(OWNER) == []
        assert not list(tmp_path.iterdir())


def test_a_removed_film_that_could_not_be_deleted_goes_with_the_next_sweep(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: None
) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "rmtree", lambda *_, **__: None)
            room.remove(OWNER, job.id)
        room.sweep()
        assert not list(tmp_path.iterdir())


def test_a_kill_while_a_film_is_cancelled_leaves_its_record_alone(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: None
) -> None:
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        with monkeypatch.context() as patched:
            patched.setattr(Shelf, "drop_media", killed)
            with pytest.raises(SystemExit):
                room.cancel(OWNER, job.id)
    with room_in(tmp_path, client) as room:
        assert room.job(OWNER, job.id).state == "cancelled"
        assert [path.name for path in room.folder(job.id).path.iterdir()] == ["job.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="open files have no names there")
def test_what_an_order_brought_is_on_the_disk_before_its_record_counts(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: None
) -> None:
    real, synced = os.fsync, list[Path]()

    def note(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink())
        real(file)

    monkeypatch.setattr(os, "fsync", note)
    with room_in(tmp_path, client) as room:
        room.submit(order_of(inputs))
    names = [path.name for path in synced]
    record = names.index("job.new")
    assert {"portrait.rgb", "voice.f32", "track.s16"} <= set(names[:record])
    assert synced[-1] == tmp_path, "the rename, too"
    assert len(synced) <= 6, "disks may be slow"


@pytest.mark.parametrize("name", ["track.s16", "voice.f32"])
def test_a_film_whose_sound_is_cut_off_fails_and_is_not_made_silent(
    name: str, client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(JobRoom, "_next_job", lambda _room: None)
        with room_in(tmp_path, client) as room:
            job = room.submit(order_of(inputs))
    sound = tmp_path / job.id / name
    os.truncate(sound, sound.stat().st_size // 2)
    with room_in(tmp_path, client) as room:
        ended = room.wait(job.id, ("done", "failed"), WAIT_S)
        assert (ended.state, ended.reason_code) == ("failed", "job_damaged")


def test_a_clock_that_is_set_ahead_removes_no_film(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: None
) -> None:
    real = time.time
    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))
        room.pause(OWNER, job.id)
        monkeypatch.setattr(time, "time", lambda: real() + 2 * JOBS.keep_s)
        room.sweep()
        assert room.job(OWNER, job.id).state == "paused"


def test_a_record_that_a_full_disk_refused_is_written_when_there_is_room(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resting: None
) -> None:
    real = JobFolder.write

    def full_once(*_: object) -> None:
        monkeypatch.setattr(JobFolder, "write", real)
        raise EngineError("No room on the disk.", code="disk_full")

    with room_in(tmp_path, client) as room:
        cancelled, paused = room.submit(order_of(inputs)), room.submit(order_of(inputs, "two"))
        monkeypatch.setattr(JobFolder, "write", full_once)
        room.cancel(OWNER, cancelled.id)
        monkeypatch.setattr(JobFolder, "write", full_once)
        room.pause(OWNER, paused.id)
        room.sweep()
    with room_in(tmp_path, client) as room:
        assert [room.job(OWNER, job.id).state for job in (cancelled, paused)] == ["cancelled", "paused"]


def test_a_film_that_does_not_fit_twice_pauses_before_it_is_completed(
    client: PlainClient, inputs: tuple[Path, Path], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = 1 << 20

    def room_left(folder: Path) -> Any:
        parts = [part_path(path.with_name("film.mp4")) for path in folder.glob("film.journal")]
        size = sum(part.stat().st_size for part in parts if part.exists())
        return shutil._ntuple_diskusage(1 << 40, 1, least + max(0, size - 1))  # type: ignore[attr-defined]

    with room_in(tmp_path, client, min_free_bytes=least) as room:
        gate = threading.Event()
        client.before = lambda: gate.wait(WAIT_S) and None
        job = room.submit(order_of(inputs))
        monkeypatch.setattr(shutil, "disk_usage", room_left)
        gate.set()
        paused = room.wait(job.id, ("paused", "done", "failed"), WAIT_S)
        assert (paused.state, paused.reason_code) == ("paused", "disk_full")
        assert not [path.name for path in room.folder(job.id).path.glob("film*.mp4") if "part" not in path.name]
        monkeypatch.undo()
        room.resume(OWNER, job.id)
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"
        assert room.folder(job.id).film.read_bytes() == whole


def test_who_waits_in_the_houses_line_is_told_the_place(
    client: PlainClient, inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gate, made = PlainClient.open, threading.Event(), threading.Event()

    def crowded(*given: Any, on_place: Any, **named: Any) -> Any:
        on_place(3)
        gate.wait(WAIT_S)
        return real(client, *given, **named)

    monkeypatch.setattr(client, "open", crowded)
    client.before = lambda: made.wait(WAIT_S) and None

    with room_in(tmp_path, client) as room:
        job = room.submit(order_of(inputs))

        def seen() -> tuple[str, int | None]:
            view = room.view(OWNER, job.id)
            return view.job.state, view.place

        wait_until(lambda: seen()[0] == "rendering")
        try:
            wait_until(lambda: seen() == ("rendering", 3))
            gate.set()
            wait_until(lambda: seen() == ("rendering", None))
        finally:
            gate.set()
            made.set()
        assert room.wait(job.id, ("done", "failed"), WAIT_S).state == "done"


def test_a_folder_that_goes_while_a_film_is_counted_does_not_hinder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, real = JobFolder(tmp_path), Path.stat
    below = [folder.states, tmp_path / "film.journal"]
    for path in (folder.path, *below):
        path.mkdir(exist_ok=True)
        (path / "file").write_bytes(bytes(9))

    def goes(self: Path, **named: Any) -> os.stat_result:
        for other in below if self.parent in below else ():
            if other != self.parent:
                shutil.rmtree(other, ignore_errors=True)
        return real(self, **named)

    monkeypatch.setattr(Path, "stat", goes)
    assert folder.bytes() == 18
