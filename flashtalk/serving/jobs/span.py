"""Makes some chunks of a finished film again with another seed and puts them in place of the old ones.

The film's sound and all other pictures stay the coded bytes they were. Called by room.py.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from flashtalk.config_app import JobsConfig
from flashtalk.errors import EngineError
from flashtalk.media.fit import fit_portrait
from flashtalk.media.label import label_frames
from flashtalk.media.mp4 import Mp4Writer
from flashtalk.media.part_file import plain_errors, share_file
from flashtalk.pipeline import session_file
from flashtalk.serving.jobs.drift import DriftMeter
from flashtalk.serving.jobs.intake import read_picture
from flashtalk.serving.jobs.record import Job, JobFolder, Span, new_id
from flashtalk.serving.jobs.render import Ending, Stopped, Wish, media_format, next_chunk, stop_if_wished
from flashtalk.serving.jobs.rows import Row, Rows
from flashtalk.serving.jobs.sound import read_voice
from flashtalk.serving.jobs.splice import read_frames, splice
from flashtalk.serving.jobs.states import States
from flashtalk.serving.protocol import Client, Stream
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


def begin_span(parent: JobFolder, folder: JobFolder, job: Job) -> None:
    """Give the new job what it needs of its parent, as second names of the same files. Raises EngineError."""
    span, kept, own = job.span, States(parent.states), States(folder.states)
    assert span is not None
    if kept.before(span.first) is None:
        raise EngineError("This film kept no state to go on from; make it anew.", code="job_damaged")
    pairs = [(parent.picture, folder.picture), (parent.voice, folder.voice), (parent.film, folder.base)]
    # Those inside go on with pictures that will be gone; a part within this one goes on from the picture before it.
    pairs += [(kept.path(at), own.path(at)) for at in kept.frames() if not span.first < at < span.end]
    with plain_errors("the film"):
        folder.states.mkdir()
        for old, new in pairs:
            share_file(old, new)
        shutil.copyfile(parent.rows, folder.base_rows)


class SpanRender:
    """As Render; a kill begins it again, with the same result."""

    def __init__(
        self,
        folder: JobFolder,
        job: Job,
        rows: Rows,
        client: Client,
        _config: JobsConfig,
        wish: Callable[[], Wish],
    ) -> None:
        assert job.span is not None
        self._folder = folder
        self._job = job
        self._span: Span = job.span
        self._rows = rows
        self._client = client
        self._wish = wish

    def run(self) -> Ending:
        """To the end, or until the wish. Raises FlashTalkError."""
        if not self._folder.film.exists():
            self._rows.cut(0)
            try:
                with Mp4Writer(self._folder.clip, media_format(self._job)) as clip:
                    self._make(clip)
            except Stopped as stopped:
                return stopped.wish
            self._rows.sync()
            with plain_errors(self._folder.film.name):
                splice(self._folder, self._span, self._job.stream.fps)
        self._clear_up()
        return "done"

    def _clear_up(self) -> None:
        """Beside the finished film, where a kill may have left this undone, or done in part."""
        self._rows.replace(_joined(Rows(self._folder.base_rows).all, self._rows.all))
        with plain_errors(self._folder.film.name):
            self._folder.clip.unlink(missing_ok=True)
            self._folder.base.unlink(missing_ok=True)

    def _make(self, clip: Mp4Writer) -> None:
        stream = self._job.stream
        picture_HWC = fit_portrait(read_picture(self._folder, self._job), stream.width, stream.height, stream.fit)
        meter, started_s = DriftMeter(picture_HWC), time.monotonic()
        for chunk in self._chunks():
            frames_FHWC = label_frames(chunk.frames_FHWC) if self._job.label else chunk.frames_FHWC
            last = chunk.first_frame + len(frames_FHWC) >= self._span.end
            if last and self._span.end < self._job.total_frames:
                frames_FHWC = self._joined_to_old(frames_FHWC)
            at = clip.checkpoint()["bytes"]
            clip.write(frames_FHWC, np.zeros((0, self._job.channels), np.float32))
            seconds, started_s = time.monotonic() - started_s, time.monotonic()
            size = clip.checkpoint()["bytes"] - at
            look = meter.look(chunk.frames_FHWC)
            self._rows.add(Row(chunk.index, chunk.first_frame, len(frames_FHWC), at, size, round(seconds, 4), look))

    def _chunks(self) -> Iterator[VideoChunk]:
        """The chunks of the span, with the new seed."""
        states = States(self._folder.states)
        frame = states.before(self._span.first)
        assert frame is not None, "begin_span gave it one"
        state = states.path(frame)
        if frame < self._span.first:
            state = self._walk(state, frame)
        with self._client.restore(self._reseeded(state), on_place=self._look_up) as stream:
            yield from self._played(stream, self._span.first, self._span.end)

    def _walk(self, state: Path, frame: int) -> Path:
        """The saved stream at the span's first frame, from an earlier one."""
        path = self._folder.states / "first"
        with self._client.restore(state, on_place=self._look_up) as stream:
            for _ in self._played(stream, frame, self._span.first):
                pass
            stream.save(path)
        return path

    def _reseeded(self, state: Path) -> Path:
        header, tensors = session_file.read(state, self._client.info.fingerprint)
        path = self._folder.states / "reseeded"
        stream = dataclasses.replace(header.stream, seed=self._span.seed)
        session_file.write(path, dataclasses.replace(header, stream=stream), tensors)
        return path

    def _played(self, stream: Stream, frame: int, end: int) -> Iterator[VideoChunk]:
        job, config = self._job, self._job.stream
        fed = heard = min(job.samples, (frame + config.lookahead_frames) * config.samples_per_frame if frame else 0)
        while frame < end:
            stop_if_wished(self._wish)
            new = (config.chunk_frames if frame else config.first_chunk_frames) - config.motion_frames
            heard = min(job.samples, (frame + new + config.lookahead_frames) * config.samples_per_frame)
            if heard > fed:
                stream.feed(read_voice(self._folder.voice, fed, heard))
            fed = heard
            if fed == job.samples:
                stream.finish()
            chunk = next_chunk(stream, self._wish)
            if chunk is None:
                raise EngineError("The engine ended this film too soon; try again.", code="film_short")
            frame += len(chunk.frames_FHWC)
            yield chunk

    def _joined_to_old(self, frames_FHWC: np.ndarray) -> np.ndarray:
        count = min(JOIN_FRAMES, len(frames_FHWC))
        old_FHWC = read_frames(self._folder.base, self._span.end - count, count, self._job.stream.fps)
        share_F = (np.arange(1, count + 1) / (count + 1))[:, None, None, None]
        joined_FHWC = frames_FHWC.copy()
        mixed = joined_FHWC[-count:] * (1 - share_F) + old_FHWC * share_F
        joined_FHWC[-count:] = np.round(mixed).astype(np.uint8)
        return joined_FHWC

    def _look_up(self, _place: int) -> None:
        stop_if_wished(self._wish)


def _joined(base: tuple[Row, ...], made: tuple[Row, ...]) -> tuple[Row, ...]:
    """The film's rows with the new ones in their places."""
    new = {row.frame: row for row in made}
    return tuple(new.get(row.frame, row) for row in base)
