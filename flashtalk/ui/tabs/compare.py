"""The compare tab: one face and voice through two to four variants, players in step, what differs, and figures.

Listed in ui/build.py. Variants are models that the client offers, and settings of a stream.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.components import Component

from flashtalk.errors import InputError
from flashtalk.ui import compare_page, pickers, settings, status
from flashtalk.ui.compare_page import Result, Variant
from flashtalk.ui.comparing import Comparer, Making, Starting
from flashtalk.ui.components import AGREED, PortraitInput, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.film import InLine
from flashtalk.ui.material import file_sha256
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.once import Once
from flashtalk.ui.samples import SAMPLES, portrait_path, voice_path
from flashtalk.ui.texts import Pair, language_of
from flashtalk.ui.theme import STATIC
from flashtalk.ui.watching import Watch, Watched

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
}

LETTERS = "ABCD"
_FIELDS = 5
_START_SAMPLE = SAMPLES[0]


class _Tab:
    def __init__(self, context: UiContext) -> None:
        self._context = context
        self._comparer = Comparer(context)
        self._watched = Watched[Watch]()
        self._once: Once[list[dict[str, Any]]] = Once(context.door.config.upload_age_s)

    def watch(
        self, request: gr.Request, portrait: str | None, voice: str | None, *fields: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Updates of the status line and the players; `fields`: those of each letter.

        A visitor watches one comparison: a new one ends the one before.
        """
        watch, language = Watch(), language_of(request)

        def make(patience_s: float) -> Generator[tuple[Any, ...]]:
            return self._updates(watch, patience_s, language, portrait, voice, *fields)

        is_stopped = yield from self._watched.updates(request.session_hash or "", watch, make)
        # Gradio says the last update again when a function ends, and by then the next one may be on the page.
        yield self._stopped(request) if is_stopped else gr.skip(), gr.skip()

    def _updates(
        self, watch: Watch, patience_s: float, language: str, portrait: str | None, voice: str | None, *fields: Any
    ) -> Generator[tuple[Any, ...]]:
        texts, results = self._context.texts, list[Result]()
        yield status.moving(texts, "status.start", language), compare_page.players(texts, (), start=False)
        try:
            variants = _switched_on(fields)
            for event in self._comparer.run(portrait, voice, variants, watch, patience_s):
                if isinstance(event, Result):
                    results.append(event)
                    yield gr.skip(), compare_page.players(texts, results, start=len(results) == len(variants))
                else:
                    done = len(results) + (event.part if isinstance(event, Making) else 0.0)
                    yield self._words(event, done / len(variants), language), gr.skip()
            yield status.plain(texts, "compare.done", language), gr.skip()
        except Exception as error:
            yield status.failed(sentence(error)), gr.skip()

    def _words(self, event: InLine | Starting | Making, part: float, language: str) -> str:
        texts = self._context.texts
        match event:
            case InLine():
                return status.waiting(texts, language, event, part)
            case Starting(Variant(letter, model)):
                return status.moving(texts, "compare.starting", language, part, letter=letter, model=model)
            case Making(Variant(letter)):
                return status.moving(texts, "compare.making", language, part, letter=letter)

    def stop(self, request: gr.Request) -> Any:
        """What the stop button does; the status line after it, which stays as it is where nothing is made."""
        watch = self._watched.of(request.session_hash or "")
        if watch is None or watch.is_over:
            return gr.skip()
        watch.end()
        return self._stopped(request)

    def _stopped(self, request: gr.Request) -> str:
        return status.plain(self._context.texts, "compare.stopped", language_of(request))

    def compare(self, portrait: str, voice: str, variants: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        """Make the same film in two to four variants and measure each.

        variants: a list like [{"steps": 4}, {"steps": 2, "seed": 1, "colour": 0.5, "model": ""}]; what is left out
        is as served. Gives of each its settings, the address of its film (for a day), frames_per_second,
        first_frame_s, sync (0 to 1), lag_ms, sharpness (share of the portrait's), drift_sharpness, drift_colour.
        A key (8 letters or more) makes the call safe to repeat.
        """
        wanted = self._listed(variants)
        files = [file_sha256(path) for path in (portrait, voice) if path]
        asked = json.dumps([*files, *(asdict(variant) for variant in wanted)])
        fingerprint = hashlib.sha256(asked.encode()).hexdigest()
        events = self._comparer.run(portrait, voice, wanted)
        return self._once.run(
            key or "", fingerprint, lambda: [event.figures() for event in events if isinstance(event, Result)]
        )

    def _listed(self, variants: object) -> list[Variant]:
        """Variants as programs write them. Raises InputError(too_few_variants, variant)."""
        stream = self._context.client.stream()
        served = {"model": "", "steps": stream.steps, "seed": stream.seed, "colour": stream.colour_strength}
        if not isinstance(variants, list) or not 2 <= len(variants) <= len(LETTERS):
            raise InputError(f"Give a list of 2 to {len(LETTERS)} variants.", code="too_few_variants")
        for variant in variants:
            if not isinstance(variant, Mapping) or not variant.keys() <= served.keys():
                raise InputError(f"A variant is an object with some of {', '.join(served)}.", code="variant")
        return [_variant(letter, **served | variant) for letter, variant in zip(LETTERS, variants, strict=False)]


def _switched_on(fields: Sequence[Any]) -> list[Variant]:
    """The page's fields as variants. Raises InputError(too_few_variants)."""
    rows = (fields[start : start + _FIELDS] for start in range(0, len(fields), _FIELDS))
    chosen = [
        _variant(letter, model=model, steps=steps, seed=seed, colour=colour)
        for letter, (on, model, steps, seed, colour) in zip(LETTERS, rows, strict=True)
        if on
    ]
    if len(chosen) < 2:
        raise InputError("Turn on at least two variants.", code="too_few_variants")
    return chosen


def _variant(letter: str, *, model: object, steps: Any, seed: Any, colour: Any) -> Variant:
    try:
        return Variant(letter, str(model or ""), int(steps), int(seed or 0), float(colour))
    except (TypeError, ValueError, OverflowError):
        message = f"Variant {letter}: steps and seed are whole numbers, colour is one from 0 to 1."
        raise InputError(message, code="variant") from None


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
        stop = gr.Button(texts.label("upload.stop"), elem_id="ft-compare-stop", elem_classes="ft-stop", scale=0)
    pickers.build_coming(context, "ft-compare-go")
    with gr.Column(elem_classes="ft-stage ft-compare"):
        # Above the films: below them, whoever presses the button does not see that anything happens.
        line = gr.HTML(status.idle(texts, "compare.idle"), elem_id="ft-compare-status", apply_default_css=False)
        players = gr.HTML(
            compare_page.players(texts, (), start=False),
            elem_id="ft-compare",
            apply_default_css=False,
            js_on_load=(STATIC / "compare.js").read_text(encoding="utf-8"),
        )
    page: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # It ends itself: Gradio, which cancels between two updates only, would hold everybody's until the next one.
    go.click(tab.watch, [portrait, voice, *fields], [line, players], trigger_mode="multiple", **page)
    stop.click(tab.stop, None, line, queue=False, trigger_mode="multiple", **page)
    _bind_api(tab)


def _build_variant(context: UiContext, letter: str) -> list[Component]:
    """A is as served; B differs in its steps, C in its model, D in its seed."""
    label, client = context.texts.label, context.client
    stream, index = client.stream(), LETTERS.index(letter)
    all_steps, models = settings.legal_steps(client), ("", *client.variants)
    others = [steps for steps in all_steps if steps != stream.steps]
    with gr.Group(elem_classes="ft-variant"):
        with gr.Row(elem_classes="ft-step-head"):
            gr.HTML(f"<h3>{letter}</h3>", apply_default_css=False, min_width=0)
            on = gr.Checkbox(letter in "AB", label=label("compare.on"), container=False, min_width=0)
        model = settings.build_model(context, models[-1] if letter == "C" else "")
        steps = others[-1] if letter == "B" and others else stream.steps
        choice = gr.Radio(all_steps, value=steps, label=label("settings.steps"))
        seed = gr.Number(stream.seed + (index == 3), label=label("settings.seed"), precision=0, minimum=0)
        colour = gr.Slider(0, 1, value=stream.colour_strength, step=0.05, label=label("compare.colour"))
    return [on, model, choice, seed, colour]


def _bind_api(tab: _Tab) -> None:
    """The endpoint for programs, with components of its own: their labels are the documentation."""
    with gr.Row(visible=False):
        wanted: list[Component] = [
            PortraitInput(label=f"portrait: PNG, JPEG, WebP or BMP, {AGREED}"),
            VoiceInput(label=f"voice: WAV, FLAC, MP3, M4A, ..., {AGREED}"),
            gr.JSON(label="variants: a list of 2 to 4 objects with model, steps, seed, colour"),
            gr.Textbox("", label="key: 8 letters or more; the same key and settings make one comparison"),
        ]
        figures = gr.JSON(label="figures")
        call = gr.Button("compare")
    call.click(tab.compare, wanted, figures, api_name="compare")
