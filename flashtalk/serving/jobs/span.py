"""Makes some chunks of a finished film again with another seed and puts them in place of the old ones.

The film's sound and all other pictures stay the coded bytes they were. Called by room.py.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from flashtalk.config_app import JobsConfig
from flashtalk.errors import EngineError
from flashtalk.media.fit import fit_portrait
from flashtalk.media.label import label_frames
from flashtalk.media.mp4 import Mp4Writer, part_path
from flashtalk.media.part_file import plain_errors, share_file, sync_folder
from flashtalk.pipeline import session_file
from flashtalk.serving.jobs.drift import DriftMeter
from flashtalk.serving.jobs.fed_stream import FedStream
from flashtalk.serving.jobs.intake import demand_room, read_picture
from flashtalk.serving.jobs.record import Job, JobFolder, Span, new_id
from flashtalk.serving.jobs.render import Ending, Stopped, Wish, media_format, stop_if_wished
from flashtalk.serving.jobs.rows import Row, Rows
from flashtalk.serving.jobs.splice import read_frames, splice
from flashtalk.serving.jobs.states import States
from flashtalk.serving.journal import LOST, Entry, Journal
from flashtalk.serving.protocol import Client
from flashtalk.types import VideoChunk

JOIN_FRAMES = 6
"""The last new frames fade into the old ones, since what follows them was made after the old ones."""


def whole_chunks(rows: tuple[Row, ...], parent: str, first: int, end: int, seed: int) -> Span:
    """The chunks that hold any of these frames."""
    touched = [row for row in rows if row.frame < end and row.frame + row.frames > first]
    return Span(parent=parent, first=touched[0].frame, end=touched[-1].frame + touched[-1].frames, seed=seed)


def job_of_span(parent: Job, span: Span, key: str) -> Job:
    """A new one, in line."""
    now_s = time.time()
    return dataclasses.replace(
        parent, id=new_id(), key=key, token=new_id(), span=span,
        state="waiting", created_s=now_s, changed_s=now_s, frames=0, rendered_s=0.0,
    )  # fmt: skip


def begin_span(parent: Job, kept: JobFolder, folder: JobFolder, job: Job) -> None:
    """Give the new job what it needs of its parent, as second names of the same files. Raises EngineError."""
    states = States(kept.states)
    assert job.span is not None
    if states.leading_to(job.span.first) is None:
        raise EngineError("This film kept no state to go on from; make it anew.", code="job_damaged")
    pairs = [(kept.picture, folder.picture), (kept.voice, folder.voice), (kept.film, folder.base)]
    pairs += [(old, folder.states / name) for old, name in states.handed_on(parent.span).items()]
    with plain_errors("the film"):
        folder.states.mkdir()
        for old, new in pairs:
            share_file(old, new)
        sync_folder(folder.states)
    Rows(folder.base_rows).replace(Rows(kept.rows).all)


@dataclass(frozen=True)
class _Place:
    """A saved stream, where it stands, and what it was given (see FedStream)."""

    session: Path
    frames: int
    given: int | None = None


class SpanRender:
    """As Render. It goes on from a state before the part: one journal notes the way to the part, and then its clip."""

    def __init__(
        self,
        folder: JobFolder,
        job: Job,
        rows: Rows,
        client: Client,
        config: JobsConfig,
        wish: Callable[[], Wish],
        seek_seat: Callable[[int | None], None],
    ) -> None:
        assert job.span is not None
        self._folder = folder
        self._job = job
        self._span: Span = job.span
        self._rows = rows
        self._client = client
        self._config = config
        self._wish = wish
        self._seek_seat = seek_seat
        self._states = States(folder.states)
        self._journal = Journal(folder.clip)
        self._saved_s = time.monotonic()
        self._unsaved_chunks = 0

    def run(self) -> Ending:
        """To the end, or until the wish. Raises FlashTalkError; the part can then be continued from its journal."""
        if not self._folder.film.exists():
            try:
                if part_path(self._folder.clip).exists() or not self._folder.clip.exists():
                    self._make_clip()
            except Stopped as stopped:
                return stopped.wish
            self._put_in()
        self._clear_up()
        return "done"

    def _put_in(self) -> None:
        with plain_errors(self._folder.film.name):
            needed_bytes = self._folder.base.stat().st_size + self._folder.clip.stat().st_size
            demand_room(self._folder.path, needed_bytes, self._config.min_free_bytes)
            splice(self._folder, self._span, self._job.stream.fps)

    def _clear_up(self) -> None:
        """Beside the finished film, where a kill may have left this undone, or done in part."""
        self._rows.replace(_joined(Rows(self._folder.base_rows).all, self._rows.all))
        self._journal.remove()
        with plain_errors(self._folder.film.name):
            self._folder.clip.unlink(missing_ok=True)
            self._folder.base.unlink(missing_ok=True)

    def _make_clip(self) -> None:
        clip, place = self._open_clip()
        try:
            self._rows.cut(clip.checkpoint()["bytes"])
            self._play(place, self._span.end, clip)
            self._rows.sync()
            clip.close()
        finally:
            clip.suspend()

    def _open_clip(self) -> tuple[Mp4Writer, _Place]:
        entry = self._left_off()
        if entry and entry.film:
            try:
                return Mp4Writer.resume(self._folder.clip, entry.film), self._place_of(entry)
            except EngineError as error:
                if error.code not in LOST:
                    raise
                entry = None
        with plain_errors(self._folder.clip.name):
            self._folder.clip.unlink(missing_ok=True)
        self._rows.cut(0)
        self._reseed(self._walk(entry))
        return Mp4Writer(self._folder.clip, media_format(self._job)), _Place(self._states.reseeded, self._span.first)

    def _left_off(self) -> Entry | None:
        """What the journal says; without a film on the way to the part."""
        try:
            return self._journal.read() if self._journal.exists() else None
        except EngineError as error:
            if error.code not in LOST:
                raise
            return None

    def _place_of(self, entry: Entry) -> _Place:
        return _Place(self._journal.session_file(entry), entry.frames, entry.samples_fed)

    def _walk(self, entry: Entry | None) -> Path:
        """The saved stream at the part's first frame, from an earlier one."""
        place = self._place_of(entry) if entry else self._kept_place()
        if place.frames < self._span.first:
            self._play(place, self._span.first, None)
            place = self._place_of(self._journal.read())
        return place.session

    def _kept_place(self) -> _Place:
        self._journal.remove()
        kept = self._states.leading_to(self._span.first)
        assert kept is not None, "begin_span gave it one"
        return _Place(*kept)

    def _reseed(self, session: Path) -> None:
        header, tensors = session_file.read(session, self._client.info.fingerprint)
        stream = dataclasses.replace(header.stream, seed=self._span.seed)
        session_file.write(self._states.reseeded, dataclasses.replace(header, stream=stream), tensors)

    def _play(self, place: _Place, end: int, clip: Mp4Writer | None) -> None:
        """The chunks up to frame `end`; without a clip only to get there."""
        with self._client.restore(place.session, on_place=self._look_up) as stream:
            self._seek_seat(None)
            fed = FedStream(stream, self._job, self._folder.voice, place.frames, place.given)
            try:
                self._take(fed, end, clip)
            except Stopped as stopped:
                if stopped.wish != "cancel" and self._unsaved_chunks:
                    self._save(fed, clip)
                raise
            if clip is None:
                self._save(fed, clip)

    def _take(self, fed: FedStream, end: int, clip: Mp4Writer | None) -> None:
        started_s = time.monotonic()
        for chunk in fed.chunks(end, self._wish):
            if clip:
                started_s = self._write(clip, chunk, started_s)
            self._unsaved_chunks += 1
            is_due = time.monotonic() - self._saved_s >= self._config.journal_s
            if fed.frames < end and (is_due or self._unsaved_chunks >= self._config.journal_chunks):
                self._save(fed, clip)

    def _write(self, clip: Mp4Writer, chunk: VideoChunk, started_s: float) -> float:
        frames_FHWC = label_frames(chunk.frames_FHWC) if self._job.label else chunk.frames_FHWC
        last = chunk.first_frame + len(frames_FHWC) >= self._span.end
        if last and self._span.end < self._job.total_frames:
            frames_FHWC = self._joined_to_old(frames_FHWC)
        at, look = clip.checkpoint()["bytes"], self._meter.look(chunk.frames_FHWC)
        clip.write(frames_FHWC, np.zeros((0, self._job.channels), np.float32))
        size, now_s = clip.checkpoint()["bytes"] - at, time.monotonic()
        row = Row(chunk.index, chunk.first_frame, len(frames_FHWC), at, size, round(now_s - started_s, 4), look)
        self._rows.add(row)
        return now_s

    @cached_property
    def _meter(self) -> DriftMeter:
        stream = self._job.stream
        picture_HWC = read_picture(self._folder, self._job)
        return DriftMeter(fit_portrait(picture_HWC, stream.width, stream.height, stream.fit))

    def _save(self, fed: FedStream, clip: Mp4Writer | None) -> None:
        demand_room(self._folder.path, 0, self._config.min_free_bytes)
        film = clip.checkpoint() if clip else {}
        ended = fed.sound_ended
        entry = Entry(inputs={}, film=film, frames=fed.frames, sound_ended=ended, samples_fed=fed.given)
        self._rows.sync()
        self._journal.write(entry, fed.stream.save)
        self._saved_s, self._unsaved_chunks = time.monotonic(), 0

    def _joined_to_old(self, frames_FHWC: np.ndarray) -> np.ndarray:
        count = min(JOIN_FRAMES, len(frames_FHWC))
        old_FHWC = read_frames(self._folder.base, self._span.end - count, count, self._job.stream.fps)
        share_F = (np.arange(1, count + 1) / (count + 1))[:, None, None, None]
        joined_FHWC = frames_FHWC.copy()
        mixed = joined_FHWC[-count:] * (1 - share_F) + old_FHWC * share_F
        joined_FHWC[-count:] = np.round(mixed).astype(np.uint8)
        return joined_FHWC

    def _look_up(self, place: int) -> None:
        self._seek_seat(place)
        stop_if_wished(self._wish)


def _joined(base: tuple[Row, ...], made: tuple[Row, ...]) -> tuple[Row, ...]:
    """The film's rows with the new ones in their places."""
    new = {row.frame: row for row in made}
    return tuple(new.get(row.frame, row) for row in base)
