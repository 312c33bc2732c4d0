"""The compare tab: one face and voice through two to four variants, players in step, what differs, and figures.

Listed in ui/build.py. Variants are settings of a stream; they are made one after the other by the engine that serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.components import Component

from flashtalk.errors import FlashTalkError, InputError
from flashtalk.media.segments import join_segments
from flashtalk.ui import compare_page, pickers, status
from flashtalk.ui.compare_page import Result, Variant
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import Film, Made, Order
from flashtalk.ui.films import FilmStore
from flashtalk.ui.material import Materials, Voice
from flashtalk.ui.measures import measure
from flashtalk.ui.mishaps import sentence, spoken
from flashtalk.ui.samples import SAMPLES, portrait_path, voice_path
from flashtalk.ui.settings import legal_steps
from flashtalk.ui.texts import Pair, language_of
from flashtalk.ui.theme import STATIC

TITLE = "compare.title"
TEXTS: dict[str, Pair] = {
    **compare_page.TEXTS,
    "compare.title": ("Compare", "对比"),
    "compare.lead": ("Same face, same voice. What changes?", "同样的人物和声音，差别在哪里？"),
    "compare.lead_more": (
        "Two to four variants side by side, in step, with what differs and the figures.",
        "并排同步播放两到四个版本，显示差异和数据。",
    ),
    "compare.on": ("Use it", "启用"),
    "compare.colour": ("Colours held", "色彩保持"),
    "compare.go": ("Compare them", "开始对比"),
    "compare.too_few": ("Turn on at least two variants.", "请至少启用两个版本。"),
}

LETTERS = "ABCD"
_FIELDS = 4
_START_SAMPLE = SAMPLES[3]
"""Its voice is the shortest."""


@dataclass(frozen=True)
class _Update:
    """What the page shows now; `results` in the order of the variants."""

    status: str
    results: Sequence[Result]
    done: bool = False


class _Tab:
    def __init__(self, context: UiContext) -> None:
        self._context = context
        self._materials = Materials(context)
        self._store = FilmStore(context)

    def watch(
        self, request: gr.Request, portrait: str | None, voice: str | None, *fields: Any
    ) -> Iterator[tuple[str, str]]:
        """The page's updates."""
        texts, language = self._context.texts, language_of(request)
        try:
            for update in self._run(portrait, voice, read_variants(fields), language):
                yield update.status, compare_page.players(texts, update.results, start=update.done)
        except FlashTalkError as error:
            yield status.failed(sentence(error)), ""

    def api(self, portrait: str, voice: str, *values: Any) -> list[dict[str, Any]]:
        """For programs: figures of each variant, and where its film can be fetched for a while."""
        results: Sequence[Result] = ()
        for update in self._run(portrait, voice, read_variants(values), "en"):
            results = update.results
        return [result.figures() for result in results]

    def _run(
        self, portrait: str | None, voice: str | None, variants: Sequence[Variant], language: str
    ) -> Iterator[_Update]:
        texts, results = self._context.texts, list[Result]()
        yield _Update(status.moving(texts, "status.start", language), ())
        portrait_HWC, sound = self._materials.portrait(portrait), self._materials.voice(voice)
        for number, variant in enumerate(variants):
            made: list[Made] = []
            with Film(self._context.client, _order(portrait_HWC, sound, variant)) as film:
                for event in film:
                    if not isinstance(event, Made):
                        continue
                    made.append(event)
                    part = (number + event.frames_done / event.frames_total) / len(variants)
                    words = status.moving(texts, "compare.making", language, part, letter=variant.letter)
                    yield _Update(words, tuple(results))
                results.append(self._result(variant, film, made, sound))
        yield _Update(status.plain(texts, "compare.done", language), tuple(results), done=True)

    def _result(self, variant: Variant, film: Film, made: Sequence[Made], sound: Voice) -> Result:
        path = self._store.new() / "film.mp4"
        join_segments((event.segment.data for event in made), path)
        frames_FHWC = np.concatenate([event.frames_FHWC for event in made])
        stream = film.stream
        return Result(
            variant=variant,
            address=self._store.address(path),
            made_fps=len(frames_FHWC) / made[-1].at_s,
            first_frame_s=made[0].at_s,
            measures=measure(frames_FHWC, sound.speech_S, stream.fps, stream.sample_rate),
        )


def read_variants(values: Sequence[Any]) -> list[Variant]:
    """Rows of (on, steps, seed, colour) as variants. Raises InputError(too_few_variants)."""
    rows = [values[start : start + _FIELDS] for start in range(0, len(values), _FIELDS)]
    chosen = [
        Variant(letter, int(steps), int(seed or 0), float(colour))
        for letter, (on, steps, seed, colour) in zip(LETTERS, rows, strict=True)
        if on
    ]
    if len(chosen) < 2:
        raise InputError("Turn on at least two variants.", code="too_few_variants")
    return chosen


def build(context: UiContext) -> None:
    """Lay out the tab."""
    tab, texts = _Tab(context), context.texts
    pickers.build_lead(context, "compare.lead", "compare.lead_more")
    with gr.Row(elem_classes="ft-pair", equal_height=False):
        with gr.Column(min_width=260):
            portrait = pickers.build_face(context, "ft-compare-face", portrait_path(context.assets, _START_SAMPLE))
        with gr.Column(min_width=260):
            voice = pickers.build_voice(context, "ft-compare-voice", voice_path(context.assets, _START_SAMPLE))
    with gr.Row(elem_classes="ft-variants"):
        fields = [field for letter in LETTERS for field in _build_variant(context, letter)]
    with gr.Row(elem_classes="ft-go"):
        go = gr.Button(texts.label("compare.go"), variant="primary", elem_id="ft-compare-go", elem_classes="ft-big")
        stop = gr.Button(texts.label("upload.stop"), elem_classes="ft-stop", scale=0)
    with gr.Column(elem_classes="ft-stage ft-compare"):
        players = gr.HTML(
            compare_page.players(texts, (), start=False),
            elem_id="ft-compare",
            apply_default_css=False,
            js_on_load=(STATIC / "compare.js").read_text(encoding="utf-8"),
        )
        line = gr.HTML(status.idle(texts, "compare.idle"), elem_id="ft-compare-status", apply_default_css=False)
    running = go.click(
        spoken(tab.watch),
        [portrait, voice, *fields],
        [line, players],
        show_progress="hidden",
        api_visibility="private",
    )
    stop.click(None, None, None, cancels=[running])
    _bind_api(tab, portrait, voice, fields)


def _build_variant(context: UiContext, letter: str) -> list[Component]:
    label, client = context.texts.label, context.client
    all_steps, stream = sorted(legal_steps(client), reverse=True), client.stream()
    steps = all_steps[min(LETTERS.index(letter), len(all_steps) - 1)]
    with gr.Group(elem_classes="ft-variant"):
        with gr.Row(elem_classes="ft-step-head"):
            gr.HTML(f"<h3>{letter}</h3>", apply_default_css=False, min_width=0)
            on = gr.Checkbox(letter in "AB", label=label("compare.on"), container=False, min_width=0)
        choice = gr.Radio(all_steps, value=steps, label=label("settings.steps"))
        seed = gr.Number(
            stream.seed + max(0, LETTERS.index(letter) - 1), label=label("settings.seed"), precision=0, minimum=0
        )
        colour = gr.Slider(0, 1, value=stream.colour_strength, step=0.05, label=label("compare.colour"))
    return [on, choice, seed, colour]


def _bind_api(tab: _Tab, portrait: gr.Image, voice: gr.Audio, fields: list[Component]) -> None:
    with gr.Row(visible=False):
        figures = gr.JSON(label="figures")
        call = gr.Button("compare")
    call.click(spoken(tab.api), [portrait, voice, *fields], figures, api_name="compare")


def _order(portrait_HWC: np.ndarray, voice: Voice, variant: Variant) -> Order:
    changes = {"steps": variant.steps, "colour_strength": variant.colour}
    return Order(portrait_HWC=portrait_HWC, voice=voice, seed=variant.seed, changes=changes)
