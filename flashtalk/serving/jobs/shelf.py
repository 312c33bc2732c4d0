"""The shelf of jobs: records and rows in memory and on the disk, under one lock. Called by room.py only."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flashtalk.config_app import JobsConfig
from flashtalk.errors import EngineError, FlashTalkError
from flashtalk.media.part_file import plain_errors, sync_folder
from flashtalk.serving.jobs.places import surplus
from flashtalk.serving.jobs.record import Job, JobFolder, new_id
from flashtalk.serving.jobs.rows import Row, Rows

_NEW, _GONE = ".new-", ".gone-"
_RECENT_CHUNKS = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class View:
    """A job as people see it now."""

    job: Job
    """`frames` counts what is in the film at this moment."""
    rows: tuple[Row, ...]
    place: int | None
    """In line, 1 is next: of films while it waits, of all who want a seat while it is to be made; None otherwise."""
    fps: float | None
    """Frames a second of the last chunks."""
    left_s: float | None


class Shelf:
    """Its methods are called with `changed` held; it is notified of every change."""

    def __init__(self, folder: Path) -> None:
        self.changed = threading.Condition()
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        self._rows: dict[str, Rows] = {}
        self._unwritten: set[str] = set()
        self._seat_places: dict[str, int] = {}
        with plain_errors("the folder of films"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> None:
        """Take up what lies on the disk; what was being made waits again."""
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith((_NEW, _GONE)):
                shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                job = JobFolder(path).read()
            except EngineError as error:
                _log.warning("%s is left alone: %s", path.name, error)
                continue
            self._jobs[job.id] = dataclasses.replace(job, state="waiting") if job.state == "rendering" else job
            self._rows[job.id] = Rows(JobFolder(path).rows)
            if job.state == "cancelled":
                self.drop_media(job.id)  # a kill may have come before

    def folder(self, job_id: str) -> JobFolder:
        """Where a job lies."""
        return JobFolder(self._folder / job_id)

    def new_folder(self) -> JobFolder:
        """For a job that is not on the shelf yet. Raises EngineError(disk_full)."""
        path = self._folder / (_NEW + new_id())
        with plain_errors("the film"):
            path.mkdir(mode=0o700)
        return JobFolder(path)

    def add(self, job: Job, folder: JobFolder) -> None:
        """Put it on the shelf with its folder, in one step. Raises EngineError(disk_full)."""
        folder.write(job)
        with plain_errors("the film"):
            folder.path.rename(self._folder / job.id)
            sync_folder(self._folder)
        self._rows[job.id] = Rows(self.folder(job.id).rows)
        self._jobs[job.id] = job
        self.changed.notify_all()

    def all(self) -> list[Job]:
        """Every job."""
        return list(self._jobs.values())

    def get(self, job_id: str) -> Job | None:
        """One job."""
        return self._jobs.get(job_id)

    def rows(self, job_id: str) -> Rows:
        """Its rows."""
        return self._rows[job_id]

    def by_key(self, owner: str, key: str) -> Job | None:
        """The job that was submitted so; what was cancelled may be asked for anew."""
        known = (job for job in self._jobs.values() if job.state != "cancelled")
        return next((job for job in known if (job.owner, job.key) == (owner, key)), None)

    def set(self, job_id: str, **changes: object) -> None:
        """The one way that records change. A full disk keeps the change in memory only, until there is room."""
        job = dataclasses.replace(self._jobs[job_id], **changes, changed_s=time.time())  # type: ignore[arg-type]
        self._jobs[job_id] = job
        self._unwritten.add(job_id)
        try:
            self._write(job_id)
        finally:
            self.changed.notify_all()

    def _write(self, job_id: str) -> None:
        try:
            self.folder(job_id).write(self._jobs[job_id])
            self._unwritten.discard(job_id)
        except FlashTalkError as error:
            _log.warning("the record of a film could not be written: %s", error)

    def seek_seat(self, job_id: str, place: int | None) -> None:
        """Where one that is being made stands in the house's line; None: it has its seat."""
        self._seat_places.pop(job_id, None)
        if place is not None:
            self._seat_places[job_id] = place

    def drop_media(self, job_id: str) -> None:
        """Remove everything but the record."""
        for path in self.folder(job_id).path.glob("*"):
            if path.name != "job.json":
                with suppress(OSError):  # what stays goes with the job
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self._rows[job_id] = Rows(self.folder(job_id).rows)
        if job_id in self._unwritten:
            self._write(job_id)

    def forget(self, job_id: str) -> None:
        """Remove a job and its folder. What a kill leaves of the folder is no job's any more."""
        path, gone = self.folder(job_id).path, self._folder / (_GONE + job_id)
        self._jobs.pop(job_id)
        self._rows.pop(job_id)
        self._unwritten.discard(job_id)
        self._seat_places.pop(job_id, None)
        with suppress(OSError):
            path = path.rename(gone)
        shutil.rmtree(path, ignore_errors=True)
        self.changed.notify_all()

    def sweep(self, config: JobsConfig, age_s: Callable[[float], float]) -> None:
        """Remove what is too old: jobs that nothing happened to, second names of films. Write what was not written."""
        for job_id in tuple(self._unwritten):
            self._write(job_id)
        for job in self.all():
            rested_s = age_s(job.changed_s)
            if rested_s > config.keep_s and job.state not in ("waiting", "rendering"):
                self.forget(job.id)
            elif rested_s > config.preview_s and job.state == "done":
                self.folder(job.id).preview.unlink(missing_ok=True)
        for job in surplus(self.all(), config):
            self.forget(job.id)
        self.clear_strays(lambda changed_s: age_s(changed_s) > config.keep_s)

    def clear_strays(self, is_old: Callable[[float], bool]) -> None:
        """Remove folders that are no job's: what is left of removed ones, and old ones such as of a damaged record."""
        for path in self._folder.iterdir():
            is_stray = path.name not in self._jobs and not path.name.startswith(_NEW)
            if is_stray and (path.name.startswith(_GONE) or is_old(path.stat().st_mtime)):
                shutil.rmtree(path, ignore_errors=True)

    def line(self) -> list[str]:
        """Those that wait, the next one first."""
        waiting = [job for job in self._jobs.values() if job.state == "waiting"]
        return [job.id for job in sorted(waiting, key=lambda job: job.created_s)]

    def view(self, job: Job) -> View:
        """With all that changes."""
        rows, line = self._rows[job.id].all, self.line()
        recent = rows[-_RECENT_CHUNKS:]
        seconds = sum(row.seconds for row in recent)
        fps = sum(row.frames for row in recent) / seconds if seconds else None
        frames = sum(row.frames for row in rows)
        is_made = job.state == "rendering"
        seat_place = self._seat_places.get(job.id) if is_made else None
        left_s = (job.goal_frames - frames) / fps if fps and is_made and seat_place is None else None
        place = line.index(job.id) + 1 if job.id in line else seat_place
        return View(job=dataclasses.replace(job, frames=frames), rows=rows, place=place, fps=fps, left_s=left_s)
