"""The first tab: a face and a voice become a film that plays while it is made. Listed in ui/build.py."""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr

from flashtalk.errors import FlashTalkError
from flashtalk.media import speak
from flashtalk.ui import pickers, settings, status
from flashtalk.ui.components import SegmentVideo
from flashtalk.ui.context import UiContext
from flashtalk.ui.films import FilmStore
from flashtalk.ui.making import Finished, Request, Studio
from flashtalk.ui.material import Materials, file_sha256
from flashtalk.ui.mishaps import spoken
from flashtalk.ui.once import Once
from flashtalk.ui.project import read_project
from flashtalk.ui.samples import SAMPLES, Sample, portrait_path, voice_path
from flashtalk.ui.texts import Pair, language_of

TITLE = "upload.title"
TEXTS: dict[str, Pair] = {
    "upload.title": ("Film", "视频"),
    "upload.lead": ("Give a face a voice.", "让照片开口说话。"),
    "upload.lead_more": (
        "Press one, and it talks. Or bring a picture and a voice of your own below.",
        "点一下，他们就会说话；也可以在下方使用您自己的照片和声音。",
    ),
    "upload.type": ("Or type what to say", "或输入文字"),
    "upload.type_hint": ("Good morning! Nice to see you.", "早上好！很高兴见到你。"),
    "upload.speak": ("Speak it", "生成语音"),
    "upload.no_synthesiser": (
        "Typing needs the program espeak-ng on this machine.",
        "文字转语音需要在本机安装 espeak-ng。",
    ),
    "upload.go": ("Make it talk", "开始说话"),
    "upload.stop": ("Stop", "停止"),
    "upload.film": ("Film", "视频"),
    "upload.save_film": ("Save the film", "保存视频"),
    "upload.save_project": ("Save the project", "保存项目"),
}


_SHOW_STAGE = "() => document.getElementById('ft-video').scrollIntoView({ behavior: 'smooth', block: 'nearest' })"


@dataclass(frozen=True)
class _Inputs:
    """What a film is made of, on the page."""

    portrait: gr.Image
    voice: gr.Audio
    panel: settings.SettingsPanel

    @property
    def all(self) -> list[Any]:
        return [self.portrait, self.voice, *self.panel.components]


@dataclass(frozen=True)
class _Outputs:
    """Where a film appears."""

    video: SegmentVideo
    status: gr.HTML
    saves: gr.HTML

    @property
    def all(self) -> list[Any]:
        return [self.video, self.status, self.saves]


@dataclass(frozen=True)
class _Buttons:
    """What starts and stops films; `cards` in the order of SAMPLES."""

    go: gr.Button
    stop: gr.Button
    cards: list[gr.Button]


class _Tab:
    """The tab's functions, bound to the app's parts."""

    def __init__(self, context: UiContext) -> None:
        self._context = context
        self.materials = Materials(context)
        self._studio = Studio(context, self.materials, FilmStore(context))
        self._once: Once[Finished] = Once(context.door.config.upload_age_s)

    def watch(
        self, request: gr.Request, portrait: str | None, voice: str | None, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """The film as it is made, for the page; `values` are a panel's."""
        wanted, language = settings.wishes(*values), language_of(request)
        yield from self._studio.watch(Request(portrait=portrait, voice=voice, wishes=wanted, language=language))

    def api(self, portrait: str, voice: str, *values: Any) -> tuple[str, str, dict[str, Any]]:
        """For programs: the finished film, its project file and figures. `values`: a panel's, and a key."""
        *chosen, key = values
        wanted = settings.wishes(*chosen)
        asked = Request(portrait=portrait, voice=voice, wishes=wanted, language="en")
        self.materials.portrait(portrait)
        self.materials.voice(voice)
        asked_for = json.dumps([file_sha256(portrait), file_sha256(voice), *chosen])
        fingerprint = hashlib.sha256(asked_for.encode()).hexdigest()
        finished = self._once.run(key or "", fingerprint, lambda: self._studio.make(asked, _gradio_folder()))
        figures = {
            "frames": finished.pace.frames_total,
            "seconds_to_make": round(finished.wall_s, 3),
            "frames_per_second": round(finished.pace.made_fps, 2),
            "model": self._context.client.info.fingerprint,
        }
        return str(finished.film), str(finished.project), figures

    def choose(self, sample: Sample) -> tuple[str, str]:
        """A sample's face and voice."""
        return portrait_path(self._context.assets, sample), voice_path(self._context.assets, sample)

    def warm(self, portrait: str | None, voice: str | None) -> None:
        """Open what was chosen while the visitor still decides; errors are told when the film is asked for."""
        for path, opened in ((portrait, self.materials.portrait), (voice, self.materials.voice)):
            try:
                if path:
                    opened(path)
            except FlashTalkError:
                continue

    def speak(self, text: str) -> str:
        """The text as a sound file; the script says the language."""
        language = "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"
        path = _gradio_folder() / "speech.wav"
        speak.speak(text, language, path)
        return str(path)

    def open_project(self, path: str | None) -> tuple[Any, ...]:
        """A project file's portrait, voice and settings."""
        if not path:
            return tuple(gr.skip() for _ in range(9))
        project = read_project(path, _gradio_folder())
        return str(project.portrait), str(project.voice), *settings.panel_values(project.wishes, self._context.client)

    def stopped(self, request: gr.Request) -> str:
        """The status line after the stop button."""
        return status.plain(self._context.texts, "status.cancelled", language_of(request))


def build(context: UiContext) -> None:
    """Lay out the tab."""
    tab, texts = _Tab(context), context.texts
    cards = _build_cards(context)
    with gr.Row(elem_classes="ft-work", equal_height=False):
        with gr.Column(scale=6, min_width=300, elem_classes="ft-stage"):
            outputs = _build_stage(context)
        with gr.Column(scale=5, min_width=300, elem_classes="ft-desk"):
            inputs = _build_desk(context, tab)
            with gr.Row(elem_classes="ft-go"):
                go = gr.Button(texts.label("upload.go"), variant="primary", elem_id="ft-make")
                stop = gr.Button(texts.label("upload.stop"), variant="secondary", elem_id="ft-stop", scale=0)
    _bind(tab, inputs, outputs, _Buttons(go, stop, cards))
    _bind_api(tab, inputs)


def routes(context: UiContext) -> fastapi.APIRouter:
    """Finished films."""
    return FilmStore(context).routes()


def _build_cards(context: UiContext) -> list[gr.Button]:
    texts = context.texts
    pickers.build_lead(context, "upload.lead", "upload.lead_more")
    with gr.Row(elem_classes="ft-cards"):
        return [
            gr.Button(
                texts.label(f"sample.{sample.portrait}.name"),
                icon=portrait_path(context.assets, sample),
                elem_classes="ft-card",
                elem_id=f"ft-card-{index}",
                min_width=0,
            )
            for index, sample in enumerate(SAMPLES)
        ]


def _build_stage(context: UiContext) -> _Outputs:
    video = SegmentVideo(
        label=context.texts.label("upload.film"),
        streaming=True,
        autoplay=True,
        interactive=False,
        elem_id="ft-video",
        elem_classes="ft-video",
        buttons=["download"],
    )
    line = gr.HTML(status.idle(context.texts), elem_id="ft-status", apply_default_css=False)
    saves = gr.HTML("", elem_id="ft-saves", apply_default_css=False)
    return _Outputs(video, line, saves)


def _build_desk(context: UiContext, tab: _Tab) -> _Inputs:
    portrait = pickers.build_face(context, "ft-face")
    voice = pickers.build_voice(context, "ft-voice")
    _build_typing(context, tab, voice)
    return _Inputs(portrait, voice, settings.build_settings(context))


def _build_typing(context: UiContext, tab: _Tab, voice: gr.Audio) -> None:
    label = context.texts.label
    with gr.Accordion(label("upload.type"), open=False, elem_classes="ft-type"):
        if not speak.can_speak():
            gr.HTML(context.texts.html("upload.no_synthesiser"))
            return
        text = gr.Textbox(
            label=label("upload.type"),
            show_label=False,
            placeholder=label("upload.type_hint"),
            lines=2,
            max_length=speak.MOST_LETTERS,
        )
        button = gr.Button(label("upload.speak"), size="sm")
        button.click(spoken(tab.speak), text, voice, api_name="speak", concurrency_limit=1)


def _bind(tab: _Tab, inputs: _Inputs, outputs: _Outputs, buttons: _Buttons) -> None:
    page: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    running: list[Any] = [buttons.go.click(spoken(tab.watch), inputs.all, outputs.all, **page)]
    for button in (buttons.go, *buttons.cards):
        button.click(None, None, None, js=_SHOW_STAGE, queue=False, api_visibility="private")
    both: list[Any] = [inputs.portrait, inputs.voice]
    for sample, card in zip(SAMPLES, buttons.cards, strict=True):
        chosen = card.click(functools.partial(tab.choose, sample), None, both, queue=False, **page)
        running.append(chosen.then(spoken(tab.watch), inputs.all, outputs.all, **page))
    buttons.stop.click(spoken(tab.stopped), None, outputs.status, cancels=running, queue=False, **page)
    for component in both:
        component.change(tab.warm, both, None, queue=False, **page)
    filled = [*both, *inputs.panel.components]
    inputs.panel.project.upload(spoken(tab.open_project), inputs.panel.project, filled, **page)


def _bind_api(tab: _Tab, inputs: _Inputs) -> None:
    """The named endpoint `/make_film`, with the page's own inputs and one key more."""
    with gr.Row(visible=False):
        key = gr.Textbox(label="key")
        film, project = gr.File(label="film"), gr.File(label="project")
        figures = gr.JSON(label="figures")
        call = gr.Button("make_film")
    call.click(spoken(tab.api), [*inputs.all, key], [film, project, figures], api_name="make_film")


def _gradio_folder() -> Path:
    """A folder of its own in Gradio's cache, which is cleaned by age."""
    folder = Path(gr.utils.get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    return folder
