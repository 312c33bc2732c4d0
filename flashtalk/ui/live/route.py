"""The live socket and the page's static files, as routes beside Gradio's. Added to the app by ui/tabs/microphone.py.

Gradio's login does not cover these routes: the socket checks where it was opened from and the token of its first word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.responses import FileResponse, Response

from flashtalk.errors import FlashTalkError, InputError
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live import messages
from flashtalk.ui.live.messages import Hello, say
from flashtalk.ui.live.outbox import Outbox
from flashtalk.ui.live.pictures import PACKERS
from flashtalk.ui.live.session import LiveSession, Visitor
from flashtalk.ui.live.sessions import LiveSessions
from flashtalk.ui.refusal import is_ours

STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".wav": "audio/wav"}

HELLO_S = 5.0
_LAST_WORDS_S = 1.0
REFUSED, FINISHED, VANISHED, FOREIGN = 4401, 4000, 4408, 4403
"""Close codes: no valid token; over; the browser says or takes nothing; opened from another site."""

OwnerOf = Callable[[str], str]
"""owner(token) -> who the visitor is. Raises InputError for a token that was not issued here or is too old."""
AskerOf = Callable[[HTTPConnection], Asker]
"""asker(socket) -> whom its conversation is counted for, whatever the token."""
FindPortrait = Callable[[str, str], np.ndarray]
"""portrait(name, owner) -> RGB uint8 [H, W, 3]. Raises InputError."""


def live_routes(
    sessions: LiveSessions,
    owner_of: OwnerOf,
    asker_of: AskerOf,
    portrait: FindPortrait,
    voices: Path | None = None,
) -> APIRouter:
    """`/live/socket`, `/live/static/...`, and `/live/voices/...`: sample voices, the wav files in `voices`."""
    router = APIRouter(prefix="/live")
    files = {f"static/{path.name}": path for path in STATIC.iterdir()}
    files |= {f"voices/{path.name}": path for path in (voices.glob("*.wav") if voices else ())}

    @router.get("/{folder}/{name}")
    def static(folder: str, name: str) -> Response:
        path = files.get(f"{folder}/{name}")
        if path is None or path.suffix not in _TYPES:
            return Response(status_code=404)
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})

    def find_or_open(hello: Hello, asked: HTTPConnection) -> LiveSession:
        owner = owner_of(hello.token)
        found = sessions.find(hello.resume, owner) if hello.resume else None
        return found or sessions.open(Visitor(portrait(hello.portrait, owner), hello.prompt), owner, asker_of(asked))

    @router.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        if not same_site(websocket):
            await websocket.close(FOREIGN)
            return
        await websocket.accept()
        with suppress(WebSocketDisconnect, RuntimeError):  # RuntimeError: starlette, when the socket is closed already
            await _converse(websocket, sessions, find_or_open)

    return router


def same_site(websocket: WebSocket) -> bool:
    """Whether the page that opens the socket is ours; programs send no Origin and are let through to the token."""
    origin = websocket.headers.get("origin")
    return origin is None or is_ours(websocket, origin)


async def _converse(
    websocket: WebSocket, sessions: LiveSessions, find_or_open: Callable[[Hello, HTTPConnection], LiveSession]
) -> None:
    try:
        text = await asyncio.wait_for(websocket.receive_text(), HELLO_S)
        hello = messages.hello(messages.words(text))
        session = await asyncio.to_thread(find_or_open, hello, websocket)
    except TimeoutError:
        await websocket.close(VANISHED)  # a slow line, which may try again
        return
    except (FlashTalkError, KeyError) as error:  # KeyError: starlette, for bytes in place of text
        known = (
            error if isinstance(error, FlashTalkError) else InputError("The page said no words.", code="live_message")
        )
        await websocket.send_text(str(say("error", code=known.code, message=str(known)).data))
        await websocket.close(REFUSED)
        return
    settings = sessions.settings
    outbox = Outbox(asyncio.get_running_loop(), window_s=settings.max_unsent_s, late_s=settings.max_unsent_s)
    session.attach(outbox, PACKERS[hello.player])
    sender = asyncio.create_task(_send(websocket, outbox))
    try:
        await _receive(websocket, session, outbox, settings.vanish_s)
    finally:
        session.detach(outbox)
        outbox.close()
        with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            await asyncio.wait_for(sender, _LAST_WORDS_S)


async def _send(websocket: WebSocket, outbox: Outbox) -> None:
    while (message := await outbox.take()) is not None:
        if isinstance(message.data, str):
            await websocket.send_text(message.data)
        else:
            await websocket.send_bytes(message.data)
    await websocket.close(VANISHED if outbox.gave_up else FINISHED)


async def _receive(websocket: WebSocket, session: LiveSession, outbox: Outbox, vanish_s: float) -> None:
    while True:
        try:
            event = await asyncio.wait_for(websocket.receive(), vanish_s)
        except TimeoutError:
            outbox.give_up()
            return
        if event["type"] == "websocket.disconnect":
            return
        try:
            if event.get("bytes") is not None:
                session.hear(*messages.microphone(event["bytes"]))
            else:
                _obey(messages.words(event.get("text") or ""), session, outbox)
        except InputError as error:
            outbox.put(say("error", code=error.code, message=str(error)))
            outbox.close()
            return
        if outbox.gave_up:
            return


def _obey(message: messages.Words, session: LiveSession, outbox: Outbox) -> None:
    match message["type"]:
        case "report":
            outbox.received(messages.number(message, "received_s"))
        case "ping":
            outbox.put(say("pong", at=messages.number(message, "at")))
        case "interrupt":
            session.interrupt(int(messages.number(message, "shown")))
        case "bye":
            session.close()
