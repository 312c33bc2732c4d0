"""The shelf of jobs: records and rows in memory and on the disk, under one lock. Called by room.py only."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flashtalk.errors import EngineError, FlashTalkError
from flashtalk.media.part_file import plain_errors
from flashtalk.serving.jobs.record import Job, JobFolder, new_id
from flashtalk.serving.jobs.rows import Row, Rows

_NEW = ".new-"
_RECENT_CHUNKS = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class View:
    """A job as people see it now."""

    job: Job
    """`frames` counts what is in the film at this moment."""
    rows: tuple[Row, ...]
    place: int | None
    """In line, 1 is next; None unless it waits."""
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
        with plain_errors("the folder of films"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> None:
        """Take up what lies on the disk; what was being made waits again."""
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(_NEW):
                shutil.rmtree(path, ignore_errors=True)
                continue
            try:
                job = JobFolder(path).read()
            except EngineError as error:
                _log.warning("%s is left alone: %s", path.name, error)
                continue
            self._jobs[job.id] = dataclasses.replace(job, state="waiting") if job.state == "rendering" else job
            self._rows[job.id] = Rows(JobFolder(path).rows)

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
        """The one way that records change. A full disk keeps the change in memory only."""
        job = dataclasses.replace(self._jobs[job_id], **changes, changed_s=time.time())  # type: ignore[arg-type]
        self._jobs[job_id] = job
        try:
            self.folder(job_id).write(job)
        except FlashTalkError as error:
            _log.warning("the record of a film could not be written: %s", error)
        finally:
            self.changed.notify_all()

    def drop_media(self, job_id: str) -> None:
        """Remove everything but the record."""
        for path in self.folder(job_id).path.glob("*"):
            if path.name != "job.json":
                with suppress(OSError):  # what stays goes with the job
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self._rows[job_id] = Rows(self.folder(job_id).rows)

    def forget(self, job_id: str) -> None:
        """Remove a job and its folder."""
        self._jobs.pop(job_id)
        self._rows.pop(job_id)
        shutil.rmtree(self.folder(job_id).path, ignore_errors=True)
        self.changed.notify_all()

    def clear_strays(self, oldest_s: float) -> None:
        """Remove folders that are no job's, such as one whose record is damaged, once they are this old."""
        for path in self._folder.iterdir():
            if path.name not in self._jobs and not path.name.startswith(_NEW) and path.stat().st_mtime < oldest_s:
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
        left_s = (job.goal_frames - frames) / fps if fps and job.state == "rendering" else None
        place = line.index(job.id) + 1 if job.id in line else None
        return View(job=dataclasses.replace(job, frames=frames), rows=rows, place=place, fps=fps, left_s=left_s)
