"""The microphone tab: speak, and the face speaks with your voice. Listed in ui/build.py; the work is in ui/live.

Live sound and pictures do not pass through Gradio: live/route.py adds a socket beside it, live/static the page's side.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import gradio as gr
import numpy as np
from fastapi import APIRouter
from PIL import Image

from flashtalk.config_app import LiveConfig
from flashtalk.media.segments import Segment
from flashtalk.ui import faces, pickers
from flashtalk.ui.browsers import address_of
from flashtalk.ui.components import PortraitInput, SegmentVideo, VoiceInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.live import endpoint, page
from flashtalk.ui.live.plain import PIECE_S, PIECES_PER_MINUTE, PlainRoom, PlainTalk, read_piece
from flashtalk.ui.live.portraits import Portraits
from flashtalk.ui.live.route import live_routes
from flashtalk.ui.live.session import Visitor
from flashtalk.ui.live.sessions import LiveSessions
from flashtalk.ui.texts import language_of

TITLE = "live.title"
TEXTS = page.TEXTS
HEAD = page.HEAD

PURPOSE = "live"
_LONG_PIECES = f"() => ({{ __type__: 'update', stream_every: {PIECE_S} }})"
"""JavaScript: Gradio's page asks each microphone for ten pieces a second, whatever `stream_every` an event names."""
PASS_AGE_S = 12 * 3600.0
_THUMBNAIL_PX = 128


class Live:
    """What the tab and its routes share."""

    def __init__(self, context: UiContext) -> None:
        self.tokens = context.tokens
        self.portraits = Portraits(context.assets / "portraits", context.door.config.upload_age_s)
        context.cleaner.also(self.portraits.forget_old)
        settings = LiveConfig(label=context.settings.label_default)
        self.sessions = LiveSessions(context.client, settings)
        self.plain: dict[str, PlainTalk] = {}
        """By owner."""
        self.room = PlainRoom(context.settings.streamed_max_bytes)

    def owner(self, token: str) -> str:
        """Who holds the token. Raises InputError(token_refused)."""
        return self.tokens.check(token, PURPOSE)

    def pass_for(self, owner: str) -> str:
        """A token for the socket."""
        return self.tokens.issue(PURPOSE, owner, PASS_AGE_S)


@functools.lru_cache(maxsize=4)
def live_of(context: UiContext) -> Live:
    """The one Live of an app; `build` and `routes` both ask for it."""
    return Live(context)


def routes(context: UiContext) -> APIRouter:
    """The socket and the page's files."""
    live = live_of(context)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(live.sessions.close)

    router = APIRouter(lifespan=lifespan)
    voices = context.assets / "speech"
    router.include_router(live_routes(live.sessions, live.owner, context.browsers.asker, live.portraits.find, voices))
    return router


def build(context: UiContext) -> None:
    """Lay out the tab."""
    live = live_of(context)
    pickers.build_lead(context, "live.lead", "live.hint")
    gr.HTML(
        html_template=page.markup(context.texts, live.portraits.samples),
        js_on_load=page.SCRIPT,
        elem_id="ft-live",
        apply_default_css=False,
    )
    _build_own_face(context, live)
    _build_plain_mode(context, live)

    def pass_of(request: gr.Request) -> tuple[str, str]:
        owner = owner_of(request) or secrets.token_hex(16)  # programs without a session have nothing in common
        return owner, live.pass_for(owner)

    endpoint.build(context, live.portraits, pass_of)

    def hand_pass(request: gr.Request) -> str:
        """What the page's socket shows at the door."""
        return f'<i hidden data-token="{live.pass_for(owner_of(request))}"></i>'

    token = gr.HTML("", elem_id="ft-live-pass", apply_default_css=False)
    gr.on(None, hand_pass, None, token, api_visibility="private", show_progress="hidden", queue=False)


def _build_own_face(context: UiContext, live: Live) -> None:
    minutes = round(context.door.config.upload_age_s / 60)
    with gr.Accordion(context.texts.label("live.own"), open=False):
        picture = PortraitInput(
            type="filepath", sources=["upload", "webcam"], show_label=False, height=240, elem_id="ft-live-upload"
        )
        hint = faces.build_hint()
        gr.HTML(f'<p class="ft-live-hint">{context.texts.html("live.own_hint", minutes=minutes)}</p>')
    own = gr.HTML("", elem_id="ft-live-own", apply_default_css=False)

    def bring(path: str | None, request: gr.Request) -> tuple[str, str]:
        """Keep the visitor's picture for the live tab; its name with a small copy, and what is said of it, as HTML."""
        if not path:
            return "", faces.hint(context.texts, None)
        portrait_HWC = context.door.picture(path)
        name = live.portraits.bring(portrait_HWC, owner_of(request), context.browsers.asker())
        brought = f'<i hidden data-portrait="{name}" data-picture="{_thumbnail(portrait_HWC)}"></i>'
        return brought, faces.hint(context.texts, portrait_HWC)

    picture.change(bring, picture, [own, hint], api_visibility="private", show_progress="hidden")


def _build_plain_mode(context: UiContext, live: Live) -> None:
    with gr.Accordion(context.texts.label("live.plain"), open=False):
        gr.HTML(f'<p class="ft-live-hint">{context.texts.html("live.plain_hint")}</p>')
        with gr.Row():
            voice = VoiceInput(sources=["microphone"], streaming=True, show_label=False, elem_id="ft-live-plain")
            video = SegmentVideo(
                streaming=True, autoplay=True, show_label=False, interactive=False, height=300, buttons=[]
            )
        face = gr.Textbox(visible="hidden")

    def talk(name: str, request: gr.Request) -> Iterator[Segment]:
        """A live conversation as one film, until the microphone stops."""
        owner = owner_of(request)
        visitor = Visitor(live.portraits.find(name, owner), burst_s=PIECE_S)
        session = live.sessions.open(visitor, owner, context.browsers.asker())
        live.plain[owner] = talking = PlainTalk(session)
        try:
            with context.rate.more(address_of(request), PIECES_PER_MINUTE):
                yield from live.room.within(talking.segments())
        finally:
            if live.plain.get(owner) is talking:
                del live.plain[owner]

    def hear(path: str | None, request: gr.Request) -> None:
        """A piece of the microphone."""
        talking = live.plain.get(owner_of(request))
        if talking and path and not talking.hear(read_piece(path), time.monotonic()):
            gr.Warning(context.texts.say("live.plain_lost", language_of(request)))

    def stop(request: gr.Request) -> None:
        """The microphone was stopped."""
        talking = live.plain.get(owner_of(request))
        if talking:
            talking.close()

    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    limit_s = live.sessions.settings.max_session_s
    voice.start_recording(None, None, voice, js=_LONG_PIECES)  # before the next one: listeners wait for each other
    voice.start_recording(talk, face, video, js=page.CHOSEN_FACE, concurrency_limit=None, **hidden)
    voice.stream(hear, voice, None, stream_every=PIECE_S, time_limit=limit_s, concurrency_limit=None, **hidden)
    voice.stop_recording(stop, None, None, **hidden)


def owner_of(request: gr.Request) -> str:
    """One page of one visitor."""
    return str(request.session_hash or "")


def _thumbnail(portrait_HWC: np.ndarray) -> str:
    image = Image.fromarray(portrait_HWC)
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
