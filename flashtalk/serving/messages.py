"""What the supervisor and its ranks say to each other, and the channel that carries it. No pickle: JSON and raw arrays.

A message on the wire: two lengths, a JSON header (kind, plain fields, layout of the arrays), the arrays' bytes.
The supervisor speaks first (Start), then one order at a time; each order but Close has one answer. Beats come between.
"""

from __future__ import annotations

import dataclasses
import json
import math
import selectors
import socket
import struct
import threading
import typing
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from flashtalk import errors
from flashtalk.errors import EngineError, FlashTalkError

_LENGTHS = struct.Struct("<IQ")
_MAX_HEADER_BYTES = 1 << 20
_MAX_BODY_BYTES = 1 << 31
_ALIGNMENT = 16
"""Arrays start at multiples of this, so that they can be used in place."""
_DTYPES = ("uint8", "float32")


class BrokenMessage(Exception):
    """The other side did not speak our language: it is another version, or its memory is damaged."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """To each rank, once: what to build."""

    config: dict[str, Any]
    rank: int
    world: int
    meet_at: str
    """Where the ranks of this group find each other; see Place. Empty for one that is alone."""
    warm_up: bool
    """Make a chunk for nobody before being ready."""


@dataclass(frozen=True, kw_only=True)
class Open:
    """Begin a stream. Answer: Opened or Failed."""

    stream: int
    epoch: int
    settings: dict[str, Any]
    portrait: np.ndarray
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Restore:
    """Begin a stream, or take it back, at a snapshot. Answer: Opened or Failed."""

    stream: int
    epoch: int
    snapshot: bytes


@dataclass(frozen=True, kw_only=True)
class Step:
    """Here is the sound of the next chunk: compute it. Answer: Chunk or Failed."""

    stream: int
    epoch: int
    samples: np.ndarray
    end: bool
    """Whether no more sound will come."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """Make a chunk for nobody (stream 0) and look at it. Answer: Checked."""

    stream: int


@dataclass(frozen=True, kw_only=True)
class Close:
    """Forget a stream. No answer."""

    stream: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The engine is built and warm. `info`: the fields of EngineInfo."""

    info: dict[str, Any]
    process: int


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A stream stands at the beginning, or where its snapshot was taken."""

    stream: int
    epoch: int
    snapshot: bytes
    needs: int
    """Sample of the stream up to which sound must be there for the next chunk."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The fields of VideoChunk, and all that the stream's future depends on."""

    stream: int
    epoch: int
    index: int
    first_frame: int
    frames: np.ndarray
    samples: np.ndarray
    timings: dict[str, Any]
    snapshot: bytes
    needs: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A stream's order could not be done, or (stream 0) no engine was built. `error` names a class of errors.py."""

    stream: int
    epoch: int
    error: str
    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Whether the engine still makes of the same input what it made before."""

    stream: int
    fine: bool


@dataclass(frozen=True, kw_only=True)
class Done:
    """An order was done by a rank that is not the first: only the first sends results."""

    stream: int
    fine: bool
    """Whether the answer would have been a good one; that of the first rank must then be one, too."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A sign of life. `progress` grows with every part of a network that begins, and with every look for orders."""

    progress: int


Message = Start | Open | Restore | Step | Check | Close | Ready | Opened | Chunk | Failed | Checked | Done | Beat
Order = Open | Restore | Step | Check | Close

_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in typing.get_args(Message)}


def is_fine(answer: Message) -> bool:
    """Whether an order could be done, and well."""
    return not isinstance(answer, Failed) and getattr(answer, "fine", True)


def error_of(failed: Failed) -> FlashTalkError:
    """The error that a rank described."""
    kind = getattr(errors, failed.error, None)
    known = isinstance(kind, type) and issubclass(kind, FlashTalkError)
    return (kind if known else EngineError)(failed.message, code=failed.code)  # type: ignore[misc]


class Channel:
    """One end of a connected stream socket. Any thread may send; one thread receives."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._sending = threading.Lock()
        self.was_heard = False
        """Whether anything ever came."""

    def send(self, message: Message) -> None:
        """Blocks while the other side does not read. Raises OSError when it is gone."""
        parts = encode(message)
        with self._sending:
            for part in parts:
                self._socket.sendall(part)

    def receive(self, timeout_s: float | None = None) -> Message | None:
        """The next message; None if none began within the time. Raises EOFError, OSError, BrokenMessage."""
        if timeout_s is not None and not self._wait(timeout_s):
            return None
        header_bytes, body_bytes = _LENGTHS.unpack(self._read(_LENGTHS.size))
        if header_bytes > _MAX_HEADER_BYTES or body_bytes > _MAX_BODY_BYTES:
            raise BrokenMessage(f"a message of {header_bytes} + {body_bytes} bytes")
        return decode(self._read(header_bytes), self._read(body_bytes))

    def close(self) -> None:
        """Both directions, at once: whoever waits on either end wakes up."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _wait(self, timeout_s: float) -> bool:
        # Not the socket's own timeout: it would hold for the other threads' sending too.
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return bool(selector.select(timeout_s))

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        view = memoryview(data)
        while view:
            got = self._socket.recv_into(view)
            if got == 0:
                raise EOFError
            view, self.was_heard = view[got:], True
        return data


def encode(message: Message) -> list[bytes | memoryview]:
    """The pieces to send, in order."""
    plain: dict[str, Any] = {}
    layout: list[tuple[str, str, list[int]]] = []
    body: list[bytes | memoryview] = []
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if not isinstance(value, bytes | np.ndarray):
            plain[field.name] = value
            continue
        array: Any = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else np.ascontiguousarray(value)
        layout.append((field.name, array.dtype.name, list(array.shape)))
        body += [memoryview(array).cast("B") if array.size else b"", bytes(-array.nbytes % _ALIGNMENT)]
    header = json.dumps({"kind": type(message).__name__, "plain": plain, "arrays": layout}).encode()
    return [_LENGTHS.pack(len(header), sum(len(part) for part in body)), header, *body]


def decode(header: bytes | bytearray, body: bytearray) -> Message:
    """The inverse of `encode`; arrays are views of `body`. Raises BrokenMessage."""
    try:
        tree = json.loads(header)
        kind = _KINDS[tree["kind"]]
        fields = {**tree["plain"], **_arrays(tree["arrays"], body)}
        return _typed(kind, fields)
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenMessage(f"{type(error).__name__}: {error}") from None


def _arrays(layout: list[tuple[str, str, list[int]]], body: bytearray) -> dict[str, np.ndarray]:
    found, start = {}, 0
    for name, dtype, shape in layout:
        if dtype not in _DTYPES or min(shape, default=0) < 0:
            raise ValueError(f"array {name} of {dtype} {shape}")
        count = math.prod(shape)
        found[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
        start += -(-found[name].nbytes // _ALIGNMENT) * _ALIGNMENT
    if start != len(body):
        raise ValueError(f"{len(body)} bytes of arrays instead of {start}")
    return found


def _typed(kind: type[Message], fields: dict[str, Any]) -> Message:
    hints = typing.get_type_hints(kind)
    if hints.keys() != fields.keys():
        raise ValueError(f"{kind.__name__} with {sorted(fields)}")
    for name, hint in hints.items():
        if hint is bytes:
            fields[name] = fields[name].tobytes()
        elif type(fields[name]) is not (typing.get_origin(hint) or hint):
            raise ValueError(f"{kind.__name__}.{name} is a {type(fields[name]).__name__}")
    return kind(**fields)
