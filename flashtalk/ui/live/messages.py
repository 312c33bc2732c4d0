"""The words of the live socket: small binary messages for media, JSON for everything else. Read by route and session.

Binary, little endian: kind u8, flags u8, epoch u16, number u32, then for the browser's direction pts f64 in seconds.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from flashtalk.errors import InputError

_DOWN = struct.Struct("<BBHId")
_UP = struct.Struct("<BxxxI")

MAX_TEXT_BYTES = 4096
MAX_PIECE_SAMPLES = 16000
MAX_PROMPT_LETTERS = 500

PLAYERS = ("webcodecs", "mse")

Words = dict[str, Any]


class Kind(IntEnum):
    """What a binary message holds."""

    PICTURE = 1
    """One H.264 access unit (Annex B); number is the frame, flag KEY starts a group."""
    SOUND = 2
    """PCM, int16 mono at the stream's rate; number is the chunk."""
    SEGMENT = 3
    """A piece of fragmented mp4 with sound and pictures; flag KEY is its beginning (`ftyp` and `moov`)."""
    MICROPHONE = 16
    """PCM, int16 mono, 16 kHz, from the browser; number counts the samples captured before it."""


KEY = 1


@dataclass(frozen=True)
class Outgoing:
    """A message on its way to a browser. kind None: JSON text. end_s: where its media ends on the page's clock."""

    data: bytes | str
    kind: Kind | None = None
    key: bool = False
    end_s: float = 0.0
    epoch: int = 0
    length_s: float = 0.0
    """Of a segment that does not say so itself."""


@dataclass(frozen=True)
class Hello:
    """How a browser introduces itself. resume: the key of a session that it had before, or empty."""

    token: str
    player: str
    portrait: str = ""
    prompt: str = ""
    resume: str = ""


def media(kind: Kind, epoch: int, number: int, pts_s: float, payload: bytes, *, key: bool, end_s: float) -> Outgoing:
    """A binary message; `end_s` is for flow control and does not travel."""
    head = _DOWN.pack(kind, KEY if key else 0, epoch & 0xFFFF, number & 0xFFFFFFFF, pts_s)
    return Outgoing(head + payload, kind, key, end_s, epoch)


def say(kind: str, **values: Any) -> Outgoing:
    """A JSON message of type `kind`."""
    return Outgoing(json.dumps({"type": kind, **values}, separators=(",", ":")))


def microphone(data: bytes) -> tuple[np.ndarray, int]:
    """(float32 samples [S] in [-1, 1], samples captured before them). Raises InputError(live_message)."""
    body = data[_UP.size :]
    whole = len(data) >= _UP.size and len(body) % 2 == 0 and len(body) <= 2 * MAX_PIECE_SAMPLES
    if not whole or data[0] != Kind.MICROPHONE:
        raise _refused(f"a message of {len(data)} bytes", f"a microphone piece of at most {MAX_PIECE_SAMPLES} samples")
    _, first = _UP.unpack_from(data)
    return np.frombuffer(body, "<i2").astype(np.float32) / 32768, first


def words(text: str) -> Words:
    """A JSON object with a `type`. Raises InputError(live_message)."""
    try:
        message = json.loads(text) if len(text) <= MAX_TEXT_BYTES else None
        json.dumps(message, ensure_ascii=False).encode()  # no halves of characters
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise _refused("text", f"a JSON object with a type, at most {MAX_TEXT_BYTES} whole characters")
    return message


def hello(message: Words) -> Hello:
    """The first message, checked. Raises InputError(live_message)."""
    fields = {name: message.get(name, "") for name in ("token", "player", "portrait", "prompt", "resume")}
    known = message["type"] == "hello" and fields["player"] in PLAYERS
    if not known or not all(isinstance(value, str) for value in fields.values()):
        raise _refused(f"a first message of type {message['type'][:20]!r}", f"hello, with player one of {PLAYERS}")
    if len(fields["prompt"]) > MAX_PROMPT_LETTERS:
        raise _refused(f"a prompt of {len(fields['prompt'])} letters", f"at most {MAX_PROMPT_LETTERS}")
    return Hello(**fields)


def number(message: Words, name: str) -> float:
    """A finite number of a message. Raises InputError(live_message)."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise _refused(f"{message['type'][:20]} without a number {name!r}", "a finite number")
    return float(value)


def _refused(given: str, allowed: str) -> InputError:
    return InputError(f"The live page sent {given}; allowed: {allowed}. Reload the page.", code="live_message")
