"""The live tab for programs: an endpoint that says where the socket is and what opens it. Built by ui/tabs/microphone.

Sound and pictures do not pass through Gradio; ui/live/messages.py is the whole language of the socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from flashtalk.config_app import LiveConfig
from flashtalk.errors import InputError
from flashtalk.ui.components import AGREED, PortraitInput
from flashtalk.ui.context import UiContext
from flashtalk.ui.live.messages import MAX_PIECE_SAMPLES, MAX_PROMPT_LETTERS, PLAYERS, Kind
from flashtalk.ui.live.portraits import Portraits

SOCKET = "live/socket"
MICROPHONE_HZ = 16000
LAYOUT = {
    "up": f"u8 kind {Kind.MICROPHONE:d}, 3 bytes 0, u32 samples before it; then int16 mono, {MICROPHONE_HZ} Hz",
    "down": "u8 kind, u8 flags, u16 epoch, u32 number, f64 seconds; then what the kind says",
    "kinds": {str(kind.value): kind.name.lower() for kind in Kind},
    "order": "little endian; text messages are JSON with a type; {type: bye} ends",
    "report": "{type: report, received_s: end of the media that came, in seconds}, several times a second; "
    f"media goes {LiveConfig.max_unsent_s:g} s beyond what was reported and then waits",
    "ping": "{type: ping, at: any number}, which pong brings back; a socket that says nothing at all, neither report "
    f"nor microphone nor ping, is closed after {LiveConfig.vanish_s:g} s",
}


def build(context: UiContext, portraits: Portraits, pass_for: Callable[[gr.Request], tuple[str, str]]) -> None:
    """The endpoint with components of its own, which no page shows. `pass_for` gives a caller's name and token."""
    faces = sorted(portraits.samples)

    def open_live(portrait: str | None, face: str, prompt: str, player: str, request: gr.Request) -> dict[str, Any]:
        """A live conversation for a program: connect a WebSocket to `socket` beside this address, send `hello` as its
        first text within five seconds, then pieces of a microphone; pictures and their sound come back. The token in
        `hello` is good for this caller and twelve hours."""
        owner, token = pass_for(request)
        if player not in PLAYERS:
            raise InputError(f"There is no player {player[:20]!r}; choose one of {list(PLAYERS)}.", code="live_player")
        if len(prompt) > MAX_PROMPT_LETTERS:
            raise InputError(f"The prompt has {len(prompt)} letters; at most {MAX_PROMPT_LETTERS}.", code="prompt")
        name = face
        if portrait:
            name = portraits.bring(context.door.picture(portrait), owner, context.browsers.asker())
        portraits.find(name, owner)
        hello = {"type": "hello", "token": token, "player": player, "portrait": name, "prompt": prompt}
        return {"socket": SOCKET, "hello": hello, "layout": LAYOUT, "most_samples_a_piece": MAX_PIECE_SAMPLES}

    with gr.Row(visible=False):
        wanted = [
            PortraitInput(label=f"portrait: PNG, JPEG, WebP or BMP, {AGREED}; none: a face of ours", type="filepath"),
            gr.Textbox(faces[0] if faces else "", label=f"face: one of {faces}"),
            gr.Textbox("", label="prompt: what the person does and where"),
            gr.Textbox(PLAYERS[0], label=f"player: one of {list(PLAYERS)}: H.264 and PCM apart, or pieces of mp4"),
        ]
        opened, call = gr.JSON(label="socket"), gr.Button("open_live")
    call.click(open_live, wanted, opened, api_name="open_live")
