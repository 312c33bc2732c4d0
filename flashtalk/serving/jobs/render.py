"""Makes one long video chunk by chunk, from its beginning or from where a kill left it. Called by room.py.

Between two journals the film may run ahead by some chunks; a kill drops these and makes them again, byte for byte.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from shutil import rmtree
from typing import Literal

import numpy as np

from flashtalk.config_app import JobsConfig
from flashtalk.errors import EngineError
from flashtalk.media.encode import MediaFormat
from flashtalk.media.fit import fit_portrait
from flashtalk.media.label import label_frames
from flashtalk.media.mp4 import Mp4Writer, part_path
from flashtalk.media.part_file import share_file
from flashtalk.serving.jobs.drift import DriftMeter
from flashtalk.serving.jobs.intake import demand_room, read_picture
from flashtalk.serving.jobs.record import TRACK_RATE, Job, JobFolder
from flashtalk.serving.jobs.rows import Row, Rows
from flashtalk.serving.jobs.sound import read_track, read_voice
from flashtalk.serving.jobs.states import States
from flashtalk.serving.journal import LOST, Entry, Journal
from flashtalk.serving.protocol import Client, Stream
from flashtalk.types import VideoChunk

Wish = Literal["go on", "pause", "stop", "cancel"]
"""pause keeps the place exactly; stop (the app ends) too; cancel drops everything."""
Ending = Literal["done", "pause", "stop", "cancel"]

_PATIENCE_S = 1.0
"""How often the wish is asked while no chunk comes."""


class Stopped(Exception):
    """The wish came while there was no chunk to end with."""

    def __init__(self, wish: Ending) -> None:
        super().__init__(wish)
        self.wish = wish


@dataclass
class _Place:
    """Where a stream stands, and how much sound it was given."""

    stream: Stream
    frames: int
    fed: int


class Render:
    """One film. `wish` is asked between chunks, and while it waits for a chunk or a seat.

    seek_seat: told the place in the house's line, None when it has its seat.
    """

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
        self._folder = folder
        self._job = job
        self._rows = rows
        self._client = client
        self._config = config
        self._wish = wish
        self._seek_seat = seek_seat
        self._journal = Journal(folder.film)
        self._saved_s = time.monotonic()
        self._unsaved_chunks = 0
        every_frames = round(config.state_every_s * job.stream.fps)
        self._states = States(folder.states, every_frames, config.states_max_bytes)

    def run(self) -> Ending:
        """To the end, or until the wish. Raises FlashTalkError; the film can then be continued from its journal."""
        if self._folder.film.exists() and not part_path(self._folder.film).exists():
            self._clear_up()
            return "done"
        film, entry = self._open_film()
        ending: Ending = "done"
        try:
            if entry is None or entry.session is not None:
                ending = self._make(film, entry)
            if ending == "done":
                self._complete(film)
        except Stopped as stopped:
            return stopped.wish
        finally:
            film.suspend()
        return ending

    def _open_film(self) -> tuple[Mp4Writer, Entry | None]:
        if self._journal.exists():
            try:
                entry = self._journal.read()
                film = Mp4Writer.resume(self._folder.film, entry.film)
                self._rows.cut(film.checkpoint()["bytes"])
                return film, entry
            except EngineError as error:
                if error.code not in LOST:
                    raise
        self._journal.remove()
        self._rows.cut(0)
        rmtree(self._folder.states, ignore_errors=True)
        return Mp4Writer(self._folder.film, media_format(self._job)), None

    def _make(self, film: Mp4Writer, entry: Entry | None) -> Ending:
        picture_HWC, stream = read_picture(self._folder, self._job), self._job.stream
        meter = DriftMeter(fit_portrait(picture_HWC, stream.width, stream.height, stream.fit))
        with self._take_seat(picture_HWC, entry) as seat:
            self._seek_seat(None)
            place = _Place(seat, entry.frames, entry.samples_fed) if entry else _Place(seat, 0, 0)
            if entry is None:
                self._save(film, place)
            try:
                return self._chunks(film, place, meter)
            except Stopped as stopped:
                if stopped.wish != "cancel" and self._unsaved_chunks:
                    self._save(film, place)
                raise

    def _take_seat(self, picture_HWC: np.ndarray, entry: Entry | None) -> Stream:
        if entry:
            return self._client.restore(self._journal.session_file(entry), on_place=self._look_up)
        job = self._job
        return self._client.open(picture_HWC, prompt=job.prompt, on_place=self._look_up, **asdict(job.stream))

    def _look_up(self, place: int) -> None:
        self._seek_seat(place)
        stop_if_wished(self._wish)

    def _chunks(self, film: Mp4Writer, place: _Place, meter: DriftMeter) -> Ending:
        self._feed(place)
        started_s = time.monotonic()
        while (chunk := next_chunk(place.stream, self._wish)) is not None:
            last = chunk.first_frame + len(chunk.frames_FHWC) >= self._job.total_frames
            place.frames = chunk.first_frame + len(chunk.frames_FHWC)
            wish = self._wish()
            resting = wish != "go on" or self._save_is_due()
            if not resting and not last:
                self._feed(place)  # the next chunk is computed while this one is encoded
            started_s = self._write(film, chunk, last, meter, started_s)
            if wish == "cancel":
                return "cancel"
            if last:
                return self._write_end(film, place)
            if resting:
                self._save(film, place)
                if wish != "go on":
                    return wish
                self._feed(place)
        raise EngineError("The engine ended this film too soon; try again.", code="film_short")

    def _feed(self, place: _Place) -> None:
        """Just the sound that the next chunk takes."""
        until = self._job.fed_until(self._job.after_next(place.frames))
        if until > place.fed:
            place.stream.feed(read_voice(self._folder.voice, place.fed, until))
        place.fed = until
        if until == self._job.samples:
            place.stream.finish()

    def _write(self, film: Mp4Writer, chunk: VideoChunk, last: bool, meter: DriftMeter, started_s: float) -> float:
        first, frames_FHWC = chunk.first_frame, chunk.frames_FHWC
        start, end = (frame * TRACK_RATE // self._job.stream.fps for frame in (first, first + len(frames_FHWC)))
        samples = read_track(self._folder.track, self._job.channels, start, None if last else end)
        look = meter.look(frames_FHWC)
        at = film.checkpoint()["bytes"]
        film.write(label_frames(frames_FHWC) if self._job.label else frames_FHWC, samples)
        size, now_s = film.checkpoint()["bytes"] - at, time.monotonic()
        row = Row(chunk.index, first, len(frames_FHWC), at, size, round(now_s - started_s, 4), look)
        self._rows.add(row)
        return now_s

    def _save_is_due(self) -> bool:
        self._unsaved_chunks += 1
        waited_s = time.monotonic() - self._saved_s
        return self._unsaved_chunks >= self._config.journal_chunks or waited_s >= self._config.journal_s

    def _save(self, film: Mp4Writer, place: _Place) -> None:
        demand_room(self._folder.path, 0, self._config.min_free_bytes)
        ended = place.fed == self._job.samples
        entry = Entry(inputs={}, film=film.checkpoint(), frames=place.frames, sound_ended=ended, samples_fed=place.fed)
        self._rows.sync()
        self._journal.write(entry, place.stream.save)
        self._saved_s, self._unsaved_chunks = time.monotonic(), 0
        if place.fed == self._job.fed_until(place.frames):  # what is made again from it is fed the next chunk's sound
            self._states.keep(place.frames, self._journal.session_file(self._journal.read()))

    def _write_end(self, film: Mp4Writer, place: _Place) -> Ending:
        self._rows.sync()
        self._journal.write(Entry(inputs={}, film=film.checkpoint(), frames=place.frames, sound_ended=True))
        return "done"

    def _complete(self, film: Mp4Writer) -> None:
        """Viewers of the growing film may go on for a while: its file gets a second name. It is copied once more."""
        demand_room(self._folder.path, film.checkpoint()["bytes"], self._config.min_free_bytes)
        share_file(part_path(self._folder.film), self._folder.preview)
        film.close()
        self._clear_up()

    def _clear_up(self) -> None:
        self._journal.remove()
        self._folder.track.unlink(missing_ok=True)  # the film itself holds the sound


def next_chunk(stream: Stream, wish: Callable[[], Wish]) -> VideoChunk | None:
    """The next one: the client itself ends a stream whose engine hangs. Raises Stopped when it is not waited for."""
    while True:
        with suppress(TimeoutError):
            return stream.next(_PATIENCE_S)
        stop_if_wished(wish)


def stop_if_wished(wish: Callable[[], Wish]) -> None:
    """Raise Stopped unless the work may go on."""
    now = wish()
    if now != "go on":
        raise Stopped(now)


def media_format(job: Job) -> MediaFormat:
    """The film's."""
    stream = job.stream
    return MediaFormat(
        width=stream.width, height=stream.height, fps=stream.fps, sample_rate=TRACK_RATE, channels=job.channels
    )
