"""What answers while the engine starts: a page that says so and waits with the visitor. Between app.py and ui/build.py.

Weights of 14B take minutes; a host that asks for the port, and a visitor who opens the page, are answered at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from flashtalk.serving.protocol import Client

Message = MutableMapping[str, Any]
_WAIT_S = 2
_NOT_KEPT = {"Cache-Control": "no-store", "Retry-After": str(_WAIT_S)}

_PAGE = Path(__file__).resolve().parent / "static" / "waking.html"


@dataclass(frozen=True)
class House:
    """What opens once the engine is ready."""

    client: Client
    web: FastAPI


class Lobby:
    """An ASGI app that hands every request to the house when it is open. `failed` is called when it cannot open."""

    def __init__(self, open_house: Callable[[], House], failed: Callable[[], None]) -> None:
        self._open_house = open_house
        self._failed = failed
        self.house: House | None = None
        self._closing = asyncio.Event()
        self.failure: BaseException | None = None

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self.house is not None:
            await self.house.web(scope, receive, send)
        elif scope["type"] == "http":
            await _answer(str(scope["path"]))(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1013})

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        work = asyncio.create_task(self._run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._closing.set()
        if self.house is None:
            work.cancel()
        await asyncio.wait([work])
        await send({"type": "lifespan.shutdown.complete"})

    async def _run(self) -> None:
        try:
            house = await self._opened()
            async with house.web.router.lifespan_context(house.web):
                self.house = house
                await self._closing.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = error
            self._failed()

    async def _opened(self) -> House:
        """Opened in a thread that does not hold up the end of the program, should it be asked for meanwhile."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[House] = loop.create_future()

        def settle(house: House | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if house is not None:
                future.set_result(house)
            elif error is not None:
                future.set_exception(error)

        def work() -> None:
            try:
                house, error = self._open_house(), None
            except BaseException as problem:
                house, error = None, problem
            loop.call_soon_threadsafe(settle, house, error)

        threading.Thread(target=work, name="opening", daemon=True).start()
        return await future


def _answer(path: str) -> Response:
    if path == "/live":
        return PlainTextResponse("starting", headers=_NOT_KEPT)
    if path in ("/ready", "/metrics"):
        return PlainTextResponse("starting", status_code=503, headers=_NOT_KEPT)
    return HTMLResponse(_PAGE.read_text(encoding="utf-8"), status_code=503, headers=_NOT_KEPT)
