"""The room where long videos are made: takes orders, keeps the queue going, goes on after a restart.

Made once by the app around its client; the tab and its routes call it from any thread.
"""

from __future__ import annotations

import dataclasses
import hmac
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from flashtalk.config import StreamConfig
from flashtalk.config_app import JobsConfig
from flashtalk.errors import FlashTalkError, InputError, Overloaded, WorkerLost
from flashtalk.serving.ages import Ages
from flashtalk.serving.asked import demand_short_prompt
from flashtalk.serving.door import Door
from flashtalk.serving.jobs.care import logged, removed_on_error
from flashtalk.serving.jobs.intake import demand_room, film_bytes, take_in
from flashtalk.serving.jobs.places import demand_place
from flashtalk.serving.jobs.record import Job, JobFolder, Span, State, new_id
from flashtalk.serving.jobs.render import Render, Wish
from flashtalk.serving.jobs.rows import Row
from flashtalk.serving.jobs.shelf import Shelf, View
from flashtalk.serving.jobs.span import SpanRender, begin_span, job_of_span, whole_chunks
from flashtalk.serving.protocol import Client

_LOSSES = 2
"""A job may lose the engine so often without a new chunk in between; then it counts as the reason."""
_SEAT_S = 5.0
"""Time between two tries for a seat."""
_INTAKE_S = 60.0
"""Longest wait for the same order, whose sound is being read."""
_SWEEP_S = 60.0
_LOOK_S = 1.0
"""How often films that wait for an engine that is not there look whether it is back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a visitor wants: local files that the door will open, and settings."""

    owner: str
    key: str
    picture: str | Path
    sound: str | Path
    stream: StreamConfig
    title: str = ""
    prompt: str = ""
    label: bool = True
    asker: str = ""
    address: str = ""
    """Words that stand for who orders it and where that is, see Job."""


@dataclass(frozen=True)
class _Ended:
    """What a job is after it was worked on, and why; a wish that came meanwhile then counts as if it came now."""

    state: State
    reason: str = ""
    reason_code: str = ""


_BROKEN = _Ended(
    "failed", "Something went wrong inside; the server's log tells more. Try to continue the film.", "inside"
)


class JobRoom:
    """A context: inside, jobs are made; leaving it stops them at the next chunk, or soon, with nothing lost."""

    def __init__(self, folder: Path, client: Client, door: Door, config: JobsConfig) -> None:
        self._shelf = Shelf(folder)
        self._changed = self._shelf.changed
        self._client = client
        self._door = door
        self._config = config
        self._ages = Ages()
        self._wishes: dict[str, Wish] = {}
        self._losses: Counter[str] = Counter()
        self._intake: dict[tuple[str, str], Order | Job] = {}
        self._closing = False
        work = [self._work] * config.at_once + [self._sweep_now_and_then]
        self._threads = [threading.Thread(target=one, name=f"jobs-{n}", daemon=True) for n, one in enumerate(work)]

    def __enter__(self) -> Self:
        with self._changed:
            self._shelf.load()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    # What visitors do.

    def submit(self, order: Order) -> Job:
        """Take an order; one owner and key are one job. Raises InputError, EngineError(disk_full), Overloaded.

        Overloaded(key_waiting) if the same key's sound is still being read after a while.
        """
        demand_short_prompt(order.prompt)
        return self._once(order, order.key, lambda folder: self._taken_in(order, folder))

    def again(self, owner: str, job_id: str, first: int, end: int, seed: int, key: str) -> Job:
        """Make the chunks around frames [first, end) of a finished film again with another seed, as a new film.

        Raises InputError, EngineError, Overloaded.
        """
        view = self.view(owner, job_id)
        parent = view.job
        if parent.state != "done" or not 0 <= first < end <= parent.total_frames:
            raise InputError(
                f"Frames {first} to {end} cannot be made again: the film must be complete, and it has the frames 0 to "
                f"{parent.total_frames}.",
                code="span_range",
            )
        span = whole_chunks(view.rows, parent.id, first, end, seed)
        return self._once(parent, key, lambda folder: self._span_of(parent, span, key, folder))

    def jobs(self, owner: str) -> list[View]:
        """All of this owner's, newest first."""
        with self._changed:
            own = [job for job in self._shelf.all() if job.owner == owner]
            return [self._shelf.view(job) for job in sorted(own, key=lambda job: -job.created_s)]

    def job(self, owner: str, job_id: str) -> Job:
        """The owner's job. Raises InputError(job_unknown), for others' jobs too."""
        with self._changed:
            job = self._shelf.get(job_id)
        if job is None or job.owner != owner:
            raise InputError("There is no such film; it may have been removed by its age.", code="job_unknown")
        return job

    def view(self, owner: str, job_id: str) -> View:
        """The same with all that changes."""
        with self._changed:
            return self._shelf.view(self.job(owner, job_id))

    def by_token(self, job_id: str, token: str) -> tuple[Job, JobFolder, tuple[Row, ...]] | None:
        """For media routes: None unless the token is this job's."""
        with self._changed:
            job = self._shelf.get(job_id)
            if job is None or not hmac.compare_digest(job.token.encode(), token.encode()):
                return None
            return job, self.folder(job_id), self._shelf.rows(job_id).all

    def pause(self, owner: str, job_id: str) -> None:
        """Stop at the next chunk, or soon if none comes, and free the seat; nothing is lost."""
        self._ask(owner, job_id, "pause")

    def cancel(self, owner: str, job_id: str) -> None:
        """Stop and remove what was made; a finished film stays."""
        self._ask(owner, job_id, "cancel")

    def resume(self, owner: str, job_id: str) -> None:
        """Go on with a paused or failed job."""
        with self._changed:
            job = self.job(owner, job_id)
            self._wishes.pop(job.id, None)
            if job.state in ("paused", "failed"):
                self._losses.pop(job.id, None)
                self._shelf.set(job.id, state="waiting", reason="", reason_code="")

    def remove(self, owner: str, job_id: str) -> None:
        """Forget a job and its files. One that is being made is only cancelled; remove it when it has stopped."""
        job = self.job(owner, job_id)
        self.cancel(owner, job_id)
        with self._changed:
            if (now := self._shelf.get(job.id)) and now.state != "rendering":
                self._shelf.forget(job.id)

    # What the app does.

    def folder(self, job_id: str) -> JobFolder:
        """Where a job lies."""
        return self._shelf.folder(job_id)

    def kept_until_s(self, job: Job) -> float:
        """When it is removed if nothing happens to it, in seconds since 1970."""
        return job.changed_s + self._config.keep_s

    def sweep(self, now_s: float | None = None) -> None:
        """Remove what is too old: jobs that nothing happened to, second names of films."""
        age_s = self._ages.age_s if now_s is None else lambda changed_s: now_s - changed_s
        with self._changed:
            self._shelf.sweep(self._config, age_s)

    def wait(self, job_id: str, states: tuple[State, ...], timeout_s: float) -> Job:
        """Until the job is in one of these states. Raises TimeoutError."""

        def there() -> bool:
            job = self._shelf.get(job_id)
            return job is None or job.state in states

        with self._changed:
            if not self._changed.wait_for(there, timeout_s) or (job := self._shelf.get(job_id)) is None:
                raise TimeoutError(f"the film is not {' or '.join(states)} after {timeout_s:g} s")
            return job

    # How the room works.

    def _sweep_now_and_then(self) -> None:
        while not self._closing:
            with logged("old films could not be removed; tried again soon"), self._changed:
                if not self._changed.wait_for(lambda: self._closing, _SWEEP_S):
                    self.sweep()

    def _once(self, wanted: Order | Job, key: str, take: Callable[[JobFolder], Job]) -> Job:
        """The job that `take` makes of a new folder, or the one of this owner and key."""
        asked = (wanted.owner, key)
        with self._changed:
            if not self._changed.wait_for(lambda: asked not in self._intake, _INTAKE_S):
                message = "The sound of this film is still being read; ask again with the same key."
                raise Overloaded(message, code="key_waiting")
            if known := self._shelf.by_key(*asked):
                return known
            demand_place(wanted, self._shelf.all(), self._intake.values(), self._config)
            self._intake[asked] = wanted
        try:
            folder = self._shelf.new_folder()
            with removed_on_error(folder):
                job = take(folder)
                with self._changed:
                    self._shelf.add(job, folder)
                return job
        finally:
            with self._changed:
                del self._intake[asked]
                self._changed.notify_all()

    def _taken_in(self, order: Order, folder: JobFolder) -> Job:
        material = take_in(folder, order.picture, order.sound, self._door, self._config.min_free_bytes)
        now_s = time.time()
        job = Job(
            id=new_id(),
            owner=order.owner,
            key=order.key,
            token=new_id(),
            title=order.title[:80],
            prompt=order.prompt,
            stream=order.stream,
            label=order.label,
            asker=order.asker,
            address=order.address,
            **dataclasses.asdict(material),
            created_s=now_s,
            changed_s=now_s,
        )
        demand_room(folder.path, film_bytes(job.total_frames, job.stream), self._config.min_free_bytes)
        return job

    def _span_of(self, parent: Job, span: Span, key: str, folder: JobFolder) -> Job:
        job = job_of_span(parent, span, key)
        begin_span(parent, self.folder(parent.id), folder, job)
        needed = folder.base.stat().st_size + film_bytes(job.goal_frames, job.stream)
        demand_room(folder.path, needed, self._config.min_free_bytes)
        return job

    def _ask(self, owner: str, job_id: str, wish: Wish) -> None:
        with self._changed:
            self._obey(self.job(owner, job_id), wish)

    def _obey(self, job: Job, wish: Wish) -> None:
        if job.state == "rendering":
            self._wishes[job.id] = wish
            self._changed.notify_all()
        elif wish == "pause" and job.state == "waiting":
            self._shelf.set(job.id, state="paused")
        elif wish == "cancel" and job.state in ("waiting", "paused", "failed"):
            self._shelf.set(job.id, state="cancelled")
            self._shelf.drop_media(job.id)

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            began_s, ended = time.monotonic(), _BROKEN
            with logged("a film failed"):
                ended = self._make(job)
            with logged("the end of a film could not be noted"), self._changed:
                made = sum(row.frames for row in self._shelf.rows(job.id).all)
                spent_s = job.rendered_s + time.monotonic() - began_s
                self._shelf.set(job.id, **dataclasses.asdict(ended), frames=made, rendered_s=spent_s)
                self._obey(self.job(job.owner, job.id), self._wishes.pop(job.id, "go on"))

    def _next_job(self) -> Job | None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._closing or self._can_begin(), _LOOK_S):
                pass
            if self._closing:
                return None
            job_id = self._shelf.line()[0]
            self._shelf.set(job_id, state="rendering", reason="", reason_code="")
            return self._shelf.get(job_id)

    def _can_begin(self) -> bool:
        """What is tried without an engine fails, and would count against the film."""
        return bool(self._shelf.line()) and self._client.status().state == "ready"

    def _make(self, job: Job) -> _Ended:
        rows = self._shelf.rows(job.id)
        before = len(rows.all)
        make = SpanRender if job.span else Render
        given = (self.folder(job.id), job, rows, self._client, self._config, lambda: self._wish(job.id))
        try:
            work = make(*given, lambda place: self._seek_seat(job.id, place))
            return _Ended("done" if work.run() == "done" else "waiting")
        except FlashTalkError as error:
            return self._after(job, error, moved=len(rows.all) > before)

    def _seek_seat(self, job_id: str, place: int | None) -> None:
        with self._changed:
            self._shelf.seek_seat(job_id, place)

    def _after(self, job: Job, error: FlashTalkError, *, moved: bool) -> _Ended:
        """What becomes of a job that met an error."""
        _log.warning("film %s: %s (%s)", job.id, error, error.code)
        if error.code == "disk_full":
            return _Ended("paused", str(error), error.code)
        if isinstance(error, Overloaded):
            with self._changed:
                self._shelf.seek_seat(job.id, error.place)
                self._changed.wait_for(lambda: self._wish(job.id) != "go on", _SEAT_S)
            return _Ended("waiting")
        if isinstance(error, WorkerLost):
            self._losses[job.id] = 1 if moved else self._losses[job.id] + 1
            if self._losses[job.id] <= _LOSSES or self._closing:
                return _Ended("waiting")
        return _Ended("failed", str(error), error.code)

    def _wish(self, job_id: str) -> Wish:
        return "stop" if self._closing else self._wishes.get(job_id, "go on")
