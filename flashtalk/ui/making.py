"""A film for one visitor, from press to download: ui/film.py's events as the page's updates. For tabs/upload.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import gradio as gr

from flashtalk.media.segments import Segment, join_segments
from flashtalk.ui import status
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import Film, InLine, Made, Order, engine_of, stream_changes
from flashtalk.ui.films import FilmStore, download_links
from flashtalk.ui.material import Materials, Voice
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.pace import Pace, Speeds
from flashtalk.ui.project import (
    Alike,
    Project,
    Wishes,
    demand_project_room,
    how_alike,
    made_with,
    read_project,
    write_project,
)
from flashtalk.ui.watching import Watch, Watched

Update = tuple[object, object, object]
"""For the video (a Segment or gr.skip()), the status line and the download links, which stay until another comes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one visitor asked for: paths of the chosen files, and the settings. visitor: a name for whoever watches."""

    portrait: str | None
    voice: str | None
    wishes: Wishes
    language: str = "en"
    visitor: str = ""


@dataclass(frozen=True)
class Finished:
    """A film on disk with its project file beside it; `model` is the fingerprint of what made it."""

    film: Path
    project: Path
    model: str
    frames: int
    film_s: float
    wall_s: float


@dataclass
class _Reel:
    """What is there of a film: its segments, how many of them the player has, and how fast they came."""

    segments: list[Segment] = field(default_factory=list)
    shown: int = 0
    frames: int = 0
    first_frames: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    fps: float = 0.0

    def add(self, made: Made) -> None:
        """The first chunk tells the speed roughly; from the second on, the time between chunks does."""
        self.segments.append(made.segment)
        self.frames, self.last_s = made.frames_done, made.at_s
        if len(self.segments) == 1:
            self.first_frames, self.first_s = made.frames_done, made.at_s
            self.fps = made.frames_done / made.took_s
        else:
            self.fps = (self.frames - self.first_frames) / (self.last_s - self.first_s)

    def take(self) -> Iterator[Segment]:
        """Segments that the player has not got yet."""
        while self.shown < len(self.segments):
            self.shown += 1
            yield self.segments[self.shown - 1]


@dataclass(frozen=True)
class _Work:
    """A film in the making. The visitor's files are open until its project is written: their age may take them."""

    film: Film
    heard: Voice
    portrait: BinaryIO
    voice: BinaryIO


class _Watch(Watch):
    """Of a film, which is not there yet at the press."""

    def __init__(self, reel: _Reel) -> None:
        self._reel = reel
        self._film: Film | None = None

    @property
    def is_seen(self) -> bool:
        """Whether some of the film is on the page."""
        return self._reel.shown > 0

    def begin(self, film: Film) -> None:
        """The film is there; it ends at once if the watch is over."""
        self._film = film
        if self.is_over:
            film.cancel()

    def end(self) -> None:
        """Nobody watches any more; allowed any number of times."""
        super().end()
        if self._film:
            self._film.cancel()


class Studio:
    """Makes films for the page and for programs. One for each app; thread-safe."""

    def __init__(self, context: UiContext, materials: Materials, store: FilmStore) -> None:
        self._context = context
        self._materials = materials
        self._store = store
        self._speeds = Speeds()
        self._watched = Watched[_Watch]()

    def watch(self, request: Request, read_out: Callable[[], str] | None = None) -> Iterator[Update]:
        """Updates of the page while the film is made; an error ends them with a sentence in the status line.

        A visitor watches one film: a new one ends the one before.
        read_out: makes the voice, which takes a while; an update comes as soon as it is there.
        """
        reel = _Reel()
        watch = _Watch(reel)
        yield from self._watched.updates(
            request.visitor, watch, lambda patience_s: self._updates(request, read_out, reel, watch, patience_s)
        )

    def stop(self, visitor: str) -> bool | None:
        """End the film that this visitor watches; whether some of it is on the page, where it stays. None: no film."""
        watch = self._watched.of(visitor)
        if watch is None or watch.is_over:
            return None
        watch.end()
        return watch.is_seen

    def make(self, request: Request, new_folder: Callable[[], Path]) -> Finished:
        """The film in a new folder, without anybody watching. Raises FlashTalkError."""
        reel = _Reel()
        with self._work(request, watched=False) as work:
            for event in work.film:
                if isinstance(event, Made):
                    reel.add(event)
            return self._finish(request, work, reel, new_folder())

    def unpacked(self, project: str, folder: Path) -> Project:
        """What a project file holds, in `folder`. Raises as `read_project` does, and Overloaded(door_busy).

        It is not small, and in memory several times: few are read at once.
        """
        with self._context.door.turn():
            return read_project(project, folder)

    def how_alike(self, project: Project) -> Alike:
        """What a project's film, made again here, will be like. Raises ConfigError for what is not possible here."""
        client, wishes = self._context.client, project.wishes
        if wishes.model not in ("", *client.variants):
            return "no_model"
        engine = engine_of(client, wishes.model)
        stream = engine.stream(**stream_changes(wishes.seed, wishes.settings))
        return how_alike(project.made_with, made_with(engine.info, stream))

    def _updates(
        self, request: Request, read_out: Callable[[], str] | None, reel: _Reel, watch: _Watch, patience_s: float
    ) -> Generator[Update]:
        texts, language, model = self._context.texts, request.language, request.wishes.model
        begin = "settings.model_starts" if model else "status.start"
        yield gr.skip(), status.moving(texts, begin, language, model=model), gr.skip()
        try:
            if read_out:
                request = replace(request, voice=read_out())
                yield gr.skip(), gr.skip(), gr.skip()  # the page hears of the voice before anything is waited for
            yield from self._show(request, reel, watch, patience_s)
        except Exception as error:
            yield gr.skip(), status.failed(sentence(error)), gr.skip()

    @contextmanager
    def _work(self, request: Request, *, watched: bool) -> Iterator[_Work]:
        wishes = request.wishes
        demand_project_room(self._context.folder)
        order = Order(
            portrait_HWC=self._materials.portrait(request.portrait),
            voice=self._materials.voice(request.voice),
            prompt=wishes.prompt,
            seed=wishes.seed,
            label=wishes.label,
            model=wishes.model,
            watched=watched,
            changes=wishes.settings,
        )
        portrait, voice = Path(request.portrait or ""), Path(request.voice or "")
        with portrait.open("rb") as face, voice.open("rb") as sound, Film(self._context.client, order) as film:
            yield _Work(film, order.voice, face, sound)

    def _show(self, request: Request, reel: _Reel, watch: _Watch, patience_s: float) -> Iterator[Update]:
        with self._context.visits.one_more(patience_s), self._work(request, watched=True) as work:
            watch.begin(work.film)
            yield from self._play(request, work.film, reel)
            if reel.shown and reel.frames == work.film.frames_total:
                yield self._last_word(request, self._finish(request, work, reel, self._store.new()))

    def _play(self, request: Request, film: Film, reel: _Reel) -> Iterator[Update]:
        """Segments to the player, the first one as soon as no stall is to be expected after it."""
        texts, language = self._context.texts, request.language
        start_s = float("inf")
        for event in film:
            if isinstance(event, InLine):
                yield gr.skip(), status.waiting(texts, language, event), gr.skip()
            if isinstance(event, Made):
                reel.add(event)
                pace = self._learn(film, reel, event)
                start_s = time.perf_counter() + pace.hold_s
                if not reel.shown and pace.hold_s:
                    yield gr.skip(), status.making(texts, "status.hold", language, pace), gr.skip()
            if reel.shown or time.perf_counter() >= start_s or reel.frames == film.frames_total:
                for segment in reel.take():
                    yield segment, status.making(texts, "status.making", language, pace), ""

    def _learn(self, film: Film, reel: _Reel, made: Made) -> Pace:
        """What the page's own films take is what the next chunks are expected to take, other visitors included."""
        stream, visitors = film.stream, max(1, film.visitors)
        kind = (film.model.fingerprint, stream.width, stream.height, stream.steps, stream.chunk_frames, visitors)
        if len(reel.segments) > 1 and made.frames_done < film.frames_total:
            self._speeds.add(kind, made.took_s)
        spread = self._speeds.spread(kind, guess_s=made.took_s * visitors)
        return Pace(reel.frames, film.frames_total, reel.fps, film.stream.fps, film.chunk_frames, spread)

    def _finish(self, request: Request, work: _Work, reel: _Reel, folder: Path) -> Finished:
        film, path, project = work.film, folder / "film.mp4", folder / "film.flashtalk.json"
        join_segments((segment.data for segment in reel.segments), path)
        with _no_longer(work.voice, work.heard, folder / "voice.wav") as voice:
            write_project(project, request.wishes, work.portrait, voice, made_with(film.model, film.stream))
        film_s = reel.frames / film.stream.fps
        return Finished(path, project, film.model.fingerprint, reel.frames, film_s, reel.last_s)

    def _last_word(self, request: Request, finished: Finished) -> Update:
        texts, language = self._context.texts, request.language
        links = [
            (self._store.address(finished.film), texts.html("upload.save_film")),
            (self._store.address(finished.project), texts.html("upload.save_project")),
        ]
        words = status.done(texts, language, frames=finished.frames, film_s=finished.film_s, wall_s=finished.wall_s)
        return gr.skip(), words, download_links(links)


@contextmanager
def _no_longer(file: BinaryIO, heard: Voice, path: Path) -> Iterator[BinaryIO]:
    """The visitor's own file of a voice or, where that is a video or holds more than was heard, what was: the shorter.

    path: where the latter lies meanwhile.
    """
    head, samples = heard.wav()
    if os.fstat(file.fileno()).st_size <= len(head) + len(samples):
        yield file
        return
    try:
        with path.open("w+b") as shorter:
            shorter.write(head)
            shorter.write(samples)
            yield shorter
    finally:
        path.unlink(missing_ok=True)
