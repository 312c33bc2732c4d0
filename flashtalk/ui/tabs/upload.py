"""The first tab: a face and a voice become a film that plays while it is made. Listed in ui/build.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import fastapi
import gradio as gr
from gradio.events import Dependency

from flashtalk.errors import FlashTalkError
from flashtalk.media import speak
from flashtalk.ui import film_endpoints, films, pickers, settings, status
from flashtalk.ui.components import SegmentVideo, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.making import Request, Studio
from flashtalk.ui.material import materials_of
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.project import Project
from flashtalk.ui.samples import SAMPLES, Sample, portrait_path, speaker_for, voice_path
from flashtalk.ui.texts import Pair, language_of
from flashtalk.ui.theme import STATIC
from flashtalk.ui.visits import Visits
from flashtalk.ui.watching import Watch, Watched

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
    "upload.letters": (
        "<b></b> of <data></data> letters. “Make it talk” speaks what stands here.",
        "<b></b> / <data></data> 字。点击“开始说话”即读出此处的文字。",
    ),
    "upload.letters_long": (
        "<b></b> letters; <data></data> are the most. Shorten it, or upload a recording.",
        "共 <b></b> 字，最多 <data></data> 字。请缩短，或上传录音。",
    ),
    "upload.letters_voice": (
        "The voice chosen above speaks. To hear this text instead, press “Speak it” or go on typing.",
        "将使用上方选择的声音。如需读出此处的文字，请点击“生成语音”或继续输入。",
    ),
    "upload.no_synthesiser": (
        "Typing needs the program espeak-ng on this machine.",
        "文字转语音需要在本机安装 espeak-ng。",
    ),
    "upload.go": ("Make it talk", "开始说话"),
    "upload.stop": ("Stop", "停止"),
    "upload.film": ("Film", "视频"),
    "upload.save_film": ("Save the film", "保存视频"),
    "upload.save_project": ("Save the project", "保存项目"),
    "upload.project_same": (
        "The project is open. “Make it talk” makes the same film again, bit for bit.",
        "项目已打开。点击“开始说话”即可逐位生成同一视频。",
    ),
    "upload.project_other_machine": (
        "The project is open. It was made with the same model on another machine, version or default settings: "
        "small things may differ.",
        "项目已打开。它由同一模型在其他机器、版本或默认设置下生成：细节可能不同。",
    ),
    "upload.project_other_model": (
        "The project is open, but another model made it ({made}); the film will look different.",
        "项目已打开，但它由另一模型生成（{made}），视频会有所不同。",
    ),
    "upload.project_no_model": (
        "The project is open, but its model “{model}” is not here; the one that serves is chosen instead.",
        "项目已打开，但此处没有其模型“{model}”，已改用当前模型。",
    ),
    **films.TEXTS,
}

_PENDING = "(face, voice, _, ...rest) => [face, voice, window.flashtalkTyped?.pending() ?? '', ...rest]"
"""JavaScript: what was typed since the voice was chosen takes the place of `typed`."""
_CHANGED = "(voice) => { window.flashtalkTyped?.changed(voice); return []; }"
_STOPPED = {True: "status.cancelled", False: "status.unseen", None: ""}
"""What is said of a film that was seen or not, or was none."""
_PATIENCE_S = 10.0
"""Who has a text read out waits so long for another one of theirs; each takes a moment."""
_TELL = "() => {{ window.dispatchEvent(new CustomEvent('flashtalk:{}', {{ detail: {} }})); return []; }}"
"""JavaScript: something was done, or was not."""


@dataclass(frozen=True)
class _Inputs:
    """What a film is made of, on the page."""

    portrait: gr.Image
    voice: gr.Audio
    typed: gr.Textbox
    panel: settings.SettingsPanel
    project: gr.UploadButton

    @property
    def files(self) -> list[Any]:
        return [self.portrait, self.voice]

    @property
    def all(self) -> list[Any]:
        return [*self.files, self.typed, *self.panel.components]


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
        self.materials = materials_of(context)
        self.studio = Studio(context, self.materials, films.FilmStore(context))
        self._opening = Watched[Watch]()
        self._speaking = Visits(
            context.browsers, per_visitor=1, per_address=4, what="texts being read out", code="calls_enough"
        )

    def watch(
        self, request: gr.Request, portrait: str | None, voice: str | None, typed: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """The film as it is made, and its voice if that is to be `typed` words; `values` are a panel's."""
        chosen: list[str] = []

        def read_out() -> str:
            chosen.append(self.speak(typed, portrait))
            return chosen[-1]

        try:
            if typed.strip():
                speak.words_of(typed, speak.language_by_script(typed))
        except FlashTalkError as error:  # what cannot be spoken ends no film that is being made
            yield gr.skip(), status.failed(sentence(error)), gr.skip(), gr.skip()
        else:
            asked = _asked(request, portrait, voice, *values)
            for update in self.studio.watch(asked, read_out if typed.strip() else None):
                yield *update, chosen.pop() if chosen else gr.skip()
        # Gradio says the last update again when a function ends, and by then another film may be on the page.
        yield (gr.skip(),) * 4

    def watch_sample(self, sample: Sample) -> Callable[..., Iterator[tuple[Any, ...]]]:
        """A function that shows the film of a sample, and puts its face and voice into the choosers."""
        files = portrait_path(self._context.assets, sample), voice_path(self._context.assets, sample)

        def watch(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
            chosen: tuple[Any, ...] = files
            for update in self.studio.watch(_asked(request, *files, *values)):
                yield *update, *chosen
                chosen = gr.skip(), gr.skip()
            yield (gr.skip(),) * 5  # as above

        return watch

    def warm(self, voice: str | None) -> None:
        """Open what was chosen while the visitor still decides; errors are told when the film is asked for."""
        with contextlib.suppress(FlashTalkError):
            self.materials.voice(voice)

    def speak(self, text: str, portrait: str | None = None) -> str:
        """The text as a sound file, read by whom suits the face; the script says the language."""
        with self._speaking.one_more(_PATIENCE_S):
            path = self._context.owners.new_folder() / "speech.wav"
            speak.speak(text, speak.language_by_script(text), path, speaker_for(self._context.assets, portrait))
        return str(path)

    def open_project(self, request: gr.Request, path: str) -> Iterator[Any]:
        """A project file's portrait, voice and settings, and a sentence about what its film will be like here.

        A visitor opens one: a new one that can be read takes the place of the one before.
        """
        watch, read = Watch(), self.studio.unpacked(path, self._context.owners.new_folder())
        try:
            yield from self._opening.updates(request.session_hash or "", watch, lambda _: self._opened(request, read))
        except Exception:
            if not watch.is_over:
                raise
        yield gr.skip()  # as above

    def _opened(self, request: gr.Request, project: Project) -> Generator[tuple[Any, ...]]:
        texts, wishes, language = self._context.texts, project.wishes, language_of(request)
        values = settings.panel_values(wishes, self._context.client)
        if wishes.model in self._context.client.variants:  # only when it runs can it be told what it would make
            words = status.moving(texts, "settings.model_starts", language, model=wishes.model)
            yield words, *[gr.skip()] * (len(values) + 2)
        try:
            key = f"upload.project_{self.studio.how_alike(project)}"
        except Exception as error:
            yield status.failed(sentence(error)), *[gr.skip()] * (len(values) + 2)
            raise
        words = status.plain(texts, key, language, made=project.made_with["model"], model=wishes.model)
        yield words, str(project.portrait), str(project.voice), *values

    def stop(self, request: gr.Request) -> str:
        """What the stop button does; how it went, for `say_stopped`."""
        return _STOPPED[self.studio.stop(request.session_hash or "")]

    def say_stopped(self, request: gr.Request, how: str) -> Any:
        """The status line after it; where there was no film it stays as it is."""
        if how not in (_STOPPED[True], _STOPPED[False]):
            return gr.skip()
        return status.plain(self._context.texts, how, language_of(request))


def _asked(request: gr.Request, portrait: str | None, voice: str | None, *values: Any) -> Request:
    wanted, language, visitor = settings.wishes(*values), language_of(request), request.session_hash or ""
    return Request(portrait=portrait, voice=voice, wishes=wanted, language=language, visitor=visitor)


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
            pickers.build_coming(context, "ft-make")
    _bind(tab, inputs, outputs, _Buttons(go, stop, cards))
    film_endpoints.build(context, tab.studio)


def routes(context: UiContext) -> fastapi.APIRouter:
    """Finished films."""
    return films.FilmStore(context).routes()


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
        buttons=[],  # Gradio's own would save what there is now, and give that again when the film is whole
    )
    line = gr.HTML(
        status.idle(context.texts),
        elem_id="ft-status",
        apply_default_css=False,
        js_on_load=(STATIC / "player.js").read_text(encoding="utf-8"),
    )
    saves = gr.HTML("", elem_id="ft-saves", apply_default_css=False)
    return _Outputs(video, line, saves)


def _build_desk(context: UiContext, tab: _Tab) -> _Inputs:
    portrait = pickers.build_face(context, "ft-face")
    voice = pickers.build_voice(context, "ft-voice")
    with gr.Accordion(context.texts.label("upload.type"), open=False, elem_classes="ft-type"):
        if speak.can_speak():
            _build_typing(context, tab, portrait, voice)
        else:
            gr.HTML(context.texts.html("upload.no_synthesiser"))
    typed = gr.Textbox("", visible=False)
    panel = settings.build_settings(context, models=True)
    return _Inputs(portrait, voice, typed, panel, settings.build_project(context, panel))


def _build_typing(context: UiContext, tab: _Tab, portrait: gr.Image, voice: gr.Audio) -> None:
    label = context.texts.label
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    text = gr.Textbox(label=label("upload.type"), show_label=False, placeholder=label("upload.type_hint"), lines=2)
    states = {"fits": "letters", "long": "letters_long", "voice": "letters_voice"}
    told = (f'<span data-for="{state}">{context.texts.html(f"upload.{key}")}</span>' for state, key in states.items())
    limits = " ".join(f'data-most-{language}="{most}"' for language, most in speak.MOST_LETTERS.items())
    gr.HTML(
        f'<p class="ft-letters" {limits} aria-live="polite">{"".join(told)}</p>',
        elem_id="ft-letters",
        apply_default_css=False,
        js_on_load=(STATIC / "typing.js").read_text(encoding="utf-8"),
    )
    button = gr.Button(label("upload.speak"), size="sm", elem_id="ft-speak")
    voice.change(None, voice, None, js=_CHANGED, queue=False, **quiet)
    _tell("spoken", button.click(tab.speak, [text, portrait], voice, api_name="speak_typed", **quiet))
    with gr.Row(visible=False):
        words, speech, call = gr.Textbox(label="text"), VoiceInput(label="speech"), gr.Button("speak")
    call.click(tab.speak, words, speech, api_name="speak")


def _bind(tab: _Tab, inputs: _Inputs, outputs: _Outputs, buttons: _Buttons) -> None:
    page: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    made = [*outputs.all, inputs.voice]
    # What was asked for before ends; Gradio alone would drop a press until then.
    going = buttons.go.click(tab.watch, inputs.all, made, js=_PENDING, trigger_mode="multiple", **page)
    running: list[Any] = [going]
    for sample, card in zip(SAMPLES, buttons.cards, strict=True):
        shown = [*outputs.all, *inputs.files]
        values = inputs.panel.components
        running.append(card.click(tab.watch_sample(sample), values, shown, trigger_mode="multiple", **page))
    how = gr.Textbox(visible=False)
    stopped = buttons.stop.click(tab.stop, None, how, cancels=running, queue=False, **page)
    # Said afterwards, so that no last word of the film comes after it.
    stopped.then(tab.say_stopped, how, outputs.status, queue=False, **page)
    inputs.voice.change(tab.warm, inputs.voice, None, queue=False, **page)
    filled = [outputs.status, *inputs.files, *inputs.panel.components]
    opened = inputs.project.upload(tab.open_project, inputs.project, filled, trigger_mode="multiple", **page)
    _tell("opened", opened)


def _tell(what: str, done: Dependency) -> None:
    """The page's scripts, how it went."""
    done.success(None, js=_TELL.format(what, "true"))
    done.failure(None, js=_TELL.format(what, "false"))
