"""What the live tests share: a real server on a free port, and a program that speaks to the socket as a page does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
import websockets
from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from flashtalk.config_app import LiveConfig
from flashtalk.errors import InputError
from flashtalk.serving.protocol import Client
from flashtalk.ui.browsers import Asker
from flashtalk.ui.live.messages import Kind, Outgoing
from flashtalk.ui.live.route import live_routes
from flashtalk.ui.live.sessions import LiveSessions

RATE = 16000
PIECE = 640
GOOD = "a good token"


def owner_of(token: str) -> str:
    """The first word of a good token is who holds it."""
    if not token.endswith(GOOD):
        raise InputError("This page is too old; load it again.", code="token_refused")
    return token


def asker_of(asked: HTTPConnection) -> Asker:
    """Whoever says nothing of themselves is somebody else each time, at no known address."""
    return Asker(asked.headers.get("visitor") or secrets.token_hex(8), asked.headers.get("address", ""))


def grey(_name: str, _owner: str) -> np.ndarray:
    return np.full((64, 64, 3), 128, np.uint8)


@dataclass
class Address:
    """Of a live server on this machine."""

    port: int

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/live/socket"


@dataclass
class Server(Address):
    """A live server in this process."""

    sessions: LiveSessions


@contextmanager
def serve(app: FastAPI) -> Iterator[int]:
    """The port on which `app` answers."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive(), "the server did not end"


@contextmanager
def live_server(client: Client, settings: LiveConfig | None = None) -> Iterator[Server]:
    sessions = LiveSessions(client, settings or LiveConfig())
    app = FastAPI()
    app.include_router(live_routes(sessions, owner_of, asker_of, grey))
    with serve(app) as port:
        try:
            yield Server(port, sessions)
        finally:
            sessions.close()


def wait_until(holds: Callable[[], bool], timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until_s, "it did not happen in time"
        time.sleep(0.01)


@dataclass
class Media:
    """A binary message as it came; at_s is when, on time.monotonic's clock."""

    kind: Kind
    key: bool
    epoch: int
    number: int
    pts_s: float
    data: bytes
    at_s: float


@dataclass
class Talker:
    """A page without a browser. Acknowledges what it gets unless `lazy`."""

    socket: Any
    lazy: bool = False
    said: list[dict[str, Any]] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)
    count: int = 0
    closed: int | None = None

    async def listen(self) -> None:
        """Until the socket closes."""
        try:
            async for data in self.socket:
                await self._take(data)
        except websockets.ConnectionClosed:
            pass
        self.closed = self.socket.close_code

    async def _take(self, data: str | bytes) -> None:
        if isinstance(data, str):
            self.said.append({**json.loads(data), "got_s": time.monotonic()})
            return
        kind, flags, epoch, number, pts_s = struct.unpack_from("<BBHId", data)
        self.media.append(Media(Kind(kind), bool(flags & 1), epoch, number, pts_s, data[16:], time.monotonic()))
        if not self.lazy:
            await self.say("report", received_s=pts_s if kind == Kind.SOUND else pts_s + 0.04)

    async def beat(self) -> None:
        """A page says something now and then even when nobody speaks."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while not self.lazy:
                await self.say("ping", at=0)
                await asyncio.sleep(0.3)

    async def say(self, kind: str, **values: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **values}))

    async def speak(self, samples_S: np.ndarray, *, realtime: bool = True) -> None:
        """In pieces of 40 ms, as the worklet does."""
        for start in range(0, len(samples_S), PIECE):
            piece = (np.clip(samples_S[start : start + PIECE], -1, 1) * 32767).astype("<i2")
            await self.socket.send(struct.pack("<BxxxI", Kind.MICROPHONE, self.count) + piece.tobytes())
            self.count += len(piece)
            if realtime:
                await asyncio.sleep(PIECE / RATE)

    async def until(self, holds: Callable[[], object], timeout_s: float = 20.0) -> None:
        until_s = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < until_s, f"not in time; said: {self.said[-5:]}, closed: {self.closed}"
            await asyncio.sleep(0.01)

    def words(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.said if message["type"] == kind]

    def of(self, kind: Kind, epoch: int | None = None) -> list[Media]:
        return [item for item in self.media if item.kind == kind and epoch in (None, item.epoch)]


class Listener:
    """What a session says to a browser that takes everything: a Sink without a socket."""

    pictures_dropped = 0
    closed = False

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def put(self, message: Outgoing) -> None:
        if isinstance(message.data, str):
            self.said.append(json.loads(message.data))

    def restart(self, at_s: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.said if message["type"] == kind]


def talk(
    server: Address,
    act: Callable[[Talker], Awaitable[None]],
    *,
    lazy: bool = False,
    origin: str | None = None,
    cookies: str = "",
    **hello: object,
) -> Talker:
    """Connect, say hello, let `act` run while all that comes is kept; returns what was seen."""

    async def run() -> Talker:
        whose = {"additional_headers": {"Cookie": cookies} if cookies else {}, "origin": origin}
        async with websockets.connect(server.address, **whose, max_queue=4 if lazy else 256) as socket:
            talker = Talker(socket, lazy)
            listening = asyncio.create_task(talker.listen())
            first = {"token": "anna: " + GOOD, "player": "webcodecs", "portrait": "grey", **hello}
            await talker.say("hello", **first)
            beating = asyncio.create_task(talker.beat())
            await act(talker)
            beating.cancel()
            await socket.close()
            await listening
            return talker

    return asyncio.run(run())
