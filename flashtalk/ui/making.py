"""A film for one visitor, from press to download: ui/film.py's events as the page's updates. For tabs/upload.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr

from flashtalk.config import StreamConfig
from flashtalk.errors import FlashTalkError
from flashtalk.media.segments import join_segments
from flashtalk.ui import status
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import Film, InLine, Made, Order
from flashtalk.ui.films import FilmStore, download_links
from flashtalk.ui.material import Materials
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.pace import Pace, Speeds
from flashtalk.ui.project import Wishes, write_project

Update = tuple[object, str, str]
"""For the video (a Segment or gr.skip()), the status line and the download links."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one visitor asked for: paths of the chosen files, and the settings."""

    portrait: str | None
    voice: str | None
    wishes: Wishes
    language: str


@dataclass(frozen=True)
class Finished:
    """A film on disk with its project file beside it."""

    film: Path
    project: Path
    pace: Pace
    wall_s: float


class Studio:
    """Makes films for the page and for programs. One for each app; thread-safe."""

    def __init__(self, context: UiContext, materials: Materials, store: FilmStore) -> None:
        self._context = context
        self._materials = materials
        self._store = store
        self._speeds = Speeds()

    def watch(self, request: Request) -> Iterator[Update]:
        """Updates of the page while the film is made; an error ends them with a sentence in the status line."""
        texts, language = self._context.texts, request.language
        yield gr.skip(), status.moving(texts, "status.start", language), ""
        try:
            yield from self._show(request)
        except FlashTalkError as error:
            yield gr.skip(), status.failed(sentence(error)), ""
        except Exception as error:
            yield gr.skip(), status.failed(sentence(error)), ""

    def make(self, request: Request, folder: Path) -> Finished:
        """The film in `folder`, without anybody watching. Raises FlashTalkError."""
        with self._film(request) as film:
            made = [event for event in film if isinstance(event, Made)]
            return self._finish(request, film, made, folder)

    @contextmanager
    def _film(self, request: Request) -> Iterator[Film]:
        order = Order(
            portrait_HWC=self._materials.portrait(request.portrait),
            voice=self._materials.voice(request.voice),
            prompt=request.wishes.prompt,
            seed=request.wishes.seed,
            label=request.wishes.label,
            changes=request.wishes.settings,
        )
        with Film(self._context.client, order) as film:
            yield film

    def _show(self, request: Request) -> Iterator[Update]:
        made: list[Made] = []
        with self._film(request) as film:
            yield from self._play(request, film, made)
            if made:
                yield self._last_word(request, self._finish(request, film, made, self._store.new()))

    def _play(self, request: Request, film: Film, made: list[Made]) -> Iterator[Update]:
        """Segments to the player, the first one as soon as no stall is to be expected after it."""
        texts, language = self._context.texts, request.language
        shown, start_s = 0, float("inf")
        for event in film:
            if isinstance(event, InLine):
                yield gr.skip(), status.plain(texts, "status.line", language, place=event.place), ""
            if isinstance(event, Made):
                made.append(event)
                pace = self._pace(film.stream, made)
                if not shown:
                    start_s = time.perf_counter() + pace.hold_s(film.new_frames)
                    yield gr.skip(), status.making(texts, "status.hold", language, pace), ""
            if shown or time.perf_counter() >= start_s or (made and made[-1].frames_done == film.frames_total):
                for ready in made[shown:]:
                    yield ready.segment, status.making(texts, "status.making", language, pace), ""
                shown = len(made)

    def _pace(self, stream: StreamConfig, made: list[Made]) -> Pace:
        """The first chunk tells the speed roughly; from the second on, the time between chunks does."""
        first, last = made[0], made[-1]
        if len(made) == 1:
            fps = first.frames_done / max(first.at_s, 1e-3)
        else:
            fps = (last.frames_done - first.frames_done) / max(last.at_s - first.at_s, 1e-3)
        return Pace(last.frames_done, last.frames_total, self._speeds.add(stream, fps), stream.fps)

    def _finish(self, request: Request, film: Film, made: list[Made], folder: Path) -> Finished:
        path, project = folder / "film.mp4", folder / "film.flashtalk.json"
        join_segments((event.segment.data for event in made), path)
        assert request.portrait is not None
        assert request.voice is not None
        write_project(project, request.wishes, request.portrait, request.voice, self._context.client.info.fingerprint)
        wall_s = made[-1].at_s
        pace = replace(self._pace(film.stream, made), made_fps=made[-1].frames_done / wall_s)
        return Finished(path, project, pace, wall_s)

    def _last_word(self, request: Request, finished: Finished) -> Update:
        texts, language = self._context.texts, request.language
        links = [
            (self._store.address(finished.film), texts.html("upload.save_film")),
            (self._store.address(finished.project), texts.html("upload.save_project")),
        ]
        return gr.skip(), status.done(texts, language, finished.pace, finished.wall_s), download_links(links)
