"""The long-video tab: a film of any length is ordered here, made in the background and watched while it grows.

Listed in ui/build.py. The list and the player are static/long_video.js, which talks to ui/long_routes.py.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
from gradio.components import Component

from flashtalk.config_app import JobsConfig
from flashtalk.errors import InputError
from flashtalk.serving.jobs.room import JobRoom, Order
from flashtalk.ui import long_page, pickers, settings
from flashtalk.ui.components import AGREED, PortraitInput, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.long_page import HEAD, TEXTS
from flashtalk.ui.long_routes import described, job_routes, new_visitor, owner_of
from flashtalk.ui.samples import SAMPLES, portrait_path
from flashtalk.ui.tokens import Tokens

__all__ = ["HEAD", "TEXTS", "TITLE", "build", "routes"]

TITLE = "long.title"

_FACE, _TALK = SAMPLES[1], "talk.mp3"
_LONGEST_KEY = 80
_CARRY = "(...values) => window.flashtalkLong.order(values)"
_LOOK = "() => window.flashtalkLong.look()"


@functools.lru_cache(maxsize=4)
def room_of(context: UiContext) -> JobRoom:
    """The one room of an app; `build` and `routes` both ask for it."""
    return JobRoom(context.folder / "jobs", context.client, context.door, JobsConfig())


def routes(context: UiContext) -> fastapi.APIRouter:
    """Films as JSON and media."""
    return job_routes(room_of(context), context.tokens)


class _Tab:
    """The tab's functions, bound to the app's parts."""

    def __init__(self, context: UiContext) -> None:
        self._client = context.client
        self._tokens: Tokens = context.tokens
        self._room = room_of(context)
        self._browsers = context.browsers

    def order(self, portrait: str | None, voice: str | None, title: str, *values: Any) -> None:
        """Begin a film. The last of `values` is what the page carries along: the visitor's token and a key."""
        *chosen, carried = values
        visitor, key = _carried(carried)
        self._submit(owner_of(self._tokens, visitor), key, (portrait, voice, title), chosen)

    def api(
        self,
        portrait: str,
        voice: str,
        title: str,
        prompt: str,
        seed: float,
        steps: int,
        size: str,
        fit: str,
        colour: float,
        label: bool,
        visitor: str,
        key: str,
    ) -> dict[str, Any]:
        """For programs: begin a film, or find the one begun with the same key. Empty visitor: a new one is made.

        One parameter for each of the page's inputs: Gradio names the endpoint's fields after them.
        Gives the film as GET /ft/jobs/{id} does (header X-FlashTalk-Visitor) and the visitor's token.
        """
        chosen = [prompt, seed, steps, size, fit, colour, label]
        visitor = visitor or new_visitor(self._tokens)
        owner = owner_of(self._tokens, visitor)
        key = key or hashlib.sha256(json.dumps([portrait, voice, title, *chosen]).encode()).hexdigest()
        job_id = self._submit(owner, key[:_LONGEST_KEY], (portrait, voice, title), chosen)
        return {"visitor": visitor, "film": described(self._room.view(owner, job_id), self._room)}

    def _submit(self, owner: str, key: str, named: tuple[str | None, str | None, str], chosen: list[Any]) -> str:
        portrait, voice, title = named
        if not portrait or not voice:
            raise InputError("Choose a face and a voice first.", code="no_portrait" if not portrait else "no_voice")
        wishes, asker = settings.wishes(*chosen), self._browsers.asker()
        order = Order(
            owner=owner,
            key=key,
            picture=Path(portrait),
            sound=Path(voice),
            stream=self._client.stream(seed=wishes.seed, **wishes.settings),
            title=title or "",
            prompt=wishes.prompt,
            label=wishes.label,
            asker=asker.visitor,
            address=asker.address,
        )
        return self._room.submit(order).id


def build(context: UiContext) -> None:
    """Lay out the tab."""
    tab, texts = _Tab(context), context.texts
    pickers.build_lead(context, "long.lead", "long.lead_more")
    with gr.Row(elem_classes="ft-work", equal_height=False):
        with gr.Column(scale=6, min_width=300, elem_classes="ft-stage ft-long-column"):
            gr.HTML(
                html_template=long_page.markup(texts),
                js_on_load=long_page.SCRIPT,
                head=long_page.HEAD,
                elem_id="ft-long",
                apply_default_css=False,
            )
        with gr.Column(scale=5, min_width=300, elem_classes="ft-desk"):
            inputs = _build_desk(context)
            carried = gr.Textbox(visible=False)
            with gr.Row(elem_classes="ft-go"):
                go = gr.Button(texts.label("long.go"), variant="primary", elem_classes="ft-big", elem_id="ft-long-go")
            pickers.build_coming(context, "ft-long-go")
    begun = go.click(
        tab.order, [*inputs, carried], None, js=_CARRY, api_visibility="private", concurrency_id="long_order"
    )
    begun.then(None, None, None, js=_LOOK, api_visibility="private")
    _bind_api(tab, inputs)


def _build_desk(context: UiContext) -> list[Component]:
    """Portrait, voice, name and settings; a face and a minute's talk are there already, so that one click is enough."""
    label, talk = context.texts.label, str(context.assets / "speech" / _TALK)
    portrait = pickers.build_face(context, "ft-long-face", portrait_path(context.assets, _FACE))
    voice = pickers.build_voice(context, "ft-long-voice", talk, [("long.talk", talk)])
    title = gr.Textbox(label=label("long.name"), placeholder=label("long.name_hint"), max_length=80)
    panel = settings.build_settings(context)
    return [portrait, voice, title, *panel.components]


def _bind_api(tab: _Tab, inputs: list[Component]) -> None:
    """The named endpoint `/make_long_film`."""
    with gr.Row(visible=False):
        # Of its own: the page's have a face and a voice chosen, which must not become defaults.
        portrait = PortraitInput(label=f"portrait: PNG, JPEG, WebP or BMP, {AGREED}")
        voice = VoiceInput(label=f"voice: any sound, {AGREED}")
        title = gr.Textbox("", label="title")
        visitor, key = gr.Textbox("", label="visitor: empty the first time"), gr.Textbox("", label="key: of this film")
        film = gr.JSON(label="film")
        call = gr.Button("make_long_film")
    asked = [portrait, voice, title, *inputs[3:], visitor, key]
    call.click(tab.api, asked, film, api_name="make_long_film", concurrency_id="long_order")


def _carried(text: str) -> tuple[str, str]:
    """(visitor's token, key) as the page's script sends them. Raises InputError."""
    try:
        tree = json.loads(text)
        return str(tree["visitor"]), str(tree["key"])[:_LONGEST_KEY]
    except (ValueError, TypeError, KeyError):
        raise InputError("This page is too old; load it again.", code="token_refused") from None
