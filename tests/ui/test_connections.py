"""Connections that ask nothing, and too many of them, keep nobody else from being served."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import fastapi
import pytest
import uvicorn
from fastapi.responses import StreamingResponse
from websockets.sync.client import connect

from flashtalk.ui.connections import PatientProtocol, SparingFilter, most_connections
from tests.ui.live_kit import wait_until

LONG_S, MOST, QUIET = 1.5, 12, 6
PARTS, PART = 8, 1 << 15
ASK = b"GET /live HTTP/1.1\r\nhost: a\r\n\r\n"


class Hasty(PatientProtocol):
    patience_s = 0.5
    quiet_per_peer = QUIET
    stalled_s = 1.2

    def connection_made(self, transport: Any) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        super().connection_made(transport)


@pytest.fixture
def port() -> Iterator[int]:
    app = fastapi.FastAPI()

    @app.get("/live")
    async def live() -> str:
        return "live"

    @app.get("/long")
    async def long() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun "
            await asyncio.sleep(LONG_S)
            yield b"whole"

        return StreamingResponse(parts())

    @app.get("/film")
    async def film() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(PARTS):
                yield b"x" * PART

        return StreamingResponse(parts())

    @app.get("/whole")
    async def whole() -> fastapi.Response:
        return fastapi.Response(b"x" * PARTS * PART)

    @app.websocket("/socket")
    async def talk(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())

    config = uvicorn.Config(app, port=0, http=Hasty, limit_concurrency=MOST, log_level="error", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 20)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


@contextlib.contextmanager
def connected(port: int, said: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        one.sendall(said)
        yield one


def heard(one: socket.socket) -> bytes:
    """All of it, to the end of the connection; raises TimeoutError if it has none."""
    with contextlib.suppress(ConnectionError):
        return b"".join(iter(lambda: one.recv(10000), b""))
    return b""


def is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return not one.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def is_served(port: int) -> bool:
    with connected(port, ASK) as one:
        try:
            return b"200 OK" in one.recv(1000)
        except ConnectionError:
            return False


@pytest.mark.parametrize("said", [b"", b"GET /live HTTP/1.1\r\nx: ", ASK, ASK + b"GET"])
def test_who_asks_nothing_is_not_waited_for(said: bytes, port: int) -> None:
    began_s = time.monotonic()
    with connected(port, said) as one:
        assert (b"200 OK" in heard(one)) == said.startswith(ASK)
    assert time.monotonic() - began_s < 3


def test_who_is_being_answered_stays(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/socket") as talk, connected(port, ASK.replace(b"live", b"long")) as one:
        one.settimeout(5)
        assert b"whole" in heard(one)
        talk.send("still here")
        assert talk.recv(5) == "still here"


@pytest.mark.parametrize("path", [b"film", b"whole"])
def test_who_takes_nothing_is_not_waited_for_and_who_is_slow_is(path: bytes, port: int) -> None:
    began_s = time.monotonic()
    with few_bytes_at_once(port, path) as idle, few_bytes_at_once(port, path) as slow:
        got = 0
        while part := slow.recv(PART):
            got += len(part)
            time.sleep(0.07)
        assert got > PARTS * PART
        assert time.monotonic() - began_s > 2 * Hasty.stalled_s
        assert len(heard(idle)) < PARTS * PART / 2


@contextlib.contextmanager
def few_bytes_at_once(port: int, path: bytes) -> Iterator[socket.socket]:
    """Who asks, and lets little be on its way."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(10)
        one.connect(("127.0.0.1", port))
        one.sendall(ASK.replace(b"live", path))
        yield one


def test_strangers_do_not_fill_the_log() -> None:
    told = SparingFilter(0.2)

    def passes(level: int, words: str, *values: object) -> bool:
        return told.filter(logging.LogRecord("uvicorn.error", level, "", 0, words, values, None))

    for _ in range(2):
        assert [passes(logging.WARNING, "Invalid request of %s", one) for one in range(100)] == [True] + [False] * 99
        assert passes(logging.WARNING, "Too many")
        assert all(passes(logging.ERROR, "broken") for _ in range(3))
        time.sleep(0.25)


def test_one_machine_has_so_many_that_ask_nothing(port: int) -> None:
    with contextlib.ExitStack() as stack:
        quiet = [stack.enter_context(connected(port)) for _ in range(3 * QUIET)]
        time.sleep(0.2)
        assert sum(map(is_closed, quiet)) == 2 * QUIET
    wait_until(lambda: is_served(port), 5)


def test_who_was_answered_and_may_ask_again_is_none_of_them(port: int) -> None:
    """Browsers keep six connections for a while: people behind one address are many."""
    with contextlib.ExitStack() as stack:
        for _ in range(QUIET + 3):
            one = stack.enter_context(connected(port, ASK))
            assert b"200 OK" in one.recv(1000)
        assert is_served(port)


def test_more_than_can_be_open_are_refused_and_those_within_go_on(port: int) -> None:
    with contextlib.ExitStack() as stack:
        within = []
        for _ in range(MOST - 1):
            within.append(stack.enter_context(connected(port, ASK.replace(b"live", b"long"))))
            assert b"200 OK" in within[-1].recv(1000)
        assert not is_served(port)
        assert all(b"whole" in heard(one) for one in within)
    wait_until(lambda: is_served(port), 5)


def test_there_are_fewer_than_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, hard, most in ((1024, 4096, 3840), (1024, resource.RLIM_INFINITY, 16128), (256, 256, 64)):
        told: list[Any] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _, pair=(soft, hard): pair)
        monkeypatch.setattr(resource, "setrlimit", lambda _, pair, told=told: told.append(pair))
        assert most_connections() == most
        assert told[0][0] >= most
