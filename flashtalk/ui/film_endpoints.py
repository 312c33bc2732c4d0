"""The film tab for programs: named endpoints that `gradio_client` calls. Built by ui/tabs/upload.py."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from flashtalk.ui import settings
from flashtalk.ui.components import AGREED, PortraitInput, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.making import Finished, Request, Studio
from flashtalk.ui.material import file_sha256
from flashtalk.ui.once import Once

_Answer = tuple[str, str, dict[str, Any]]
"""The film, its project, figures."""


def build(context: UiContext, studio: Studio) -> None:
    """The endpoints with components of their own, which no page shows: their labels are the documentation."""
    endpoints = _Endpoints(context, studio)
    stream, client = context.client.stream(), context.client
    sizes = settings.legal_sizes(client)
    with gr.Row(visible=False):
        wanted: list[Component] = [
            PortraitInput(label=f"portrait: PNG, JPEG, WebP or BMP, {AGREED}"),
            VoiceInput(label=f"voice: WAV, FLAC, MP3, M4A, ..., {AGREED}"),
            gr.Textbox("", label="prompt: what the person does and where"),
            gr.Number(stream.seed, label="seed: the same seed makes the same film", precision=0),
            gr.Number(stream.steps, label=f"steps: one of {settings.legal_steps(client)}", precision=0),
            gr.Textbox(sizes[0], label=f"size: one of {sizes}"),
            gr.Textbox(stream.fit, label="fit: cover (crop around the face) or contain (show all)"),
            gr.Number(stream.colour_strength, label="colour_strength: 0 to 1, how firmly colours are held"),
            gr.Checkbox(context.settings.label_default, label="label: write AI-generated on the picture"),
            gr.Textbox("", label=f"model: empty, or one of {list(client.variants)}"),
            gr.Textbox("", label="key: 8 letters or more; the same key and settings make one film"),
        ]
        project = gr.File(label="project: a file that /make_film or the page gave")
        made = [gr.File(label="film"), gr.File(label="project"), gr.JSON(label="figures")]
        call, repeat = gr.Button("make_film"), gr.Button("repeat_film")
    call.click(endpoints.make_film, wanted, made, api_name="make_film")
    repeat.click(endpoints.repeat_film, [project, wanted[-1]], made, api_name="repeat_film")


class _Endpoints:
    """Their docstrings are what the page "Use via API" shows."""

    def __init__(self, context: UiContext, studio: Studio) -> None:
        self._studio = studio
        self._visits = context.visits
        self._owners = context.owners
        self._once: Once[_Answer] = Once(context.door.config.upload_age_s)

    def make_film(
        self,
        portrait: str,
        voice: str,
        prompt: str,
        seed: float,
        steps: int,
        size: str,
        fit: str,
        colour_strength: float,
        label: bool,
        model: str,
        key: str,
    ) -> _Answer:
        """Make a film: the portrait speaks the voice.

        Gives the film (mp4), its project file (for /repeat_film) and figures. All settings but the two files have
        defaults. A key (8 letters or more) makes the call safe to repeat: the same key and settings make one film.
        Save the files at once: they stay for as long as uploads do, and whoever has their addresses, which nobody can
        guess, has them; a browser's are its own.
        """
        wanted = settings.wishes(prompt, seed, steps, size, fit, colour_strength, label, model)
        request = Request(portrait=portrait, voice=voice, wishes=wanted)
        files = [file_sha256(path) for path in (portrait, voice) if path]
        return self._made(key, [*files, asdict(wanted)], lambda: self._make(request))

    def repeat_film(self, project: str, key: str) -> _Answer:
        """Make the film of a project file again; gives what /make_film gives.

        Figures say under "alike" what to expect: same (bit for bit), other_machine (details differ) or other_model.
        """
        return self._made(key, [file_sha256(project or "")], lambda: self._repeat(project))

    def _made(self, key: str, asked: list[Any], work: Callable[[], _Answer]) -> _Answer:
        fingerprint = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        film, project, figures = self._once.run(key or "", fingerprint, work)
        self._owners.give(Path(film))
        return film, project, figures

    def _make(self, request: Request) -> _Answer:
        with self._visits.one_more():
            return _answer(self._studio.make(request, self._owners.new_folder))

    def _repeat(self, project: str) -> _Answer:
        with self._visits.one_more(), self._folder_for_now() as folder:
            opened = self._studio.unpacked(project, folder)
            alike = self._studio.how_alike(opened)
            request = Request(portrait=str(opened.portrait), voice=str(opened.voice), wishes=opened.wishes)
            film, again, figures = _answer(self._studio.make(request, self._owners.new_folder))
            return film, again, figures | {"alike": alike}

    @contextmanager
    def _folder_for_now(self) -> Iterator[Path]:
        folder = self._owners.new_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _answer(done: Finished) -> _Answer:
    figures = {
        "frames": done.frames,
        "seconds_to_make": round(done.wall_s, 3),
        "frames_per_second": round(done.frames / done.wall_s, 2),
        "model": done.model,
    }
    return str(done.film), str(done.project), figures
