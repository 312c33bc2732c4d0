"""Routes beside Gradio's that belong to no tab: the page's files, a host's probes, and what every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import fastapi
from fastapi.responses import FileResponse, PlainTextResponse, Response

from flashtalk.serving import health
from flashtalk.ui.context import UiContext
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.theme import STATIC

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_COSTLY = ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/", "/gradio_api/run/")
_NOT_KEPT = {"Cache-Control": "no-store"}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(self)"),
)


def build_routes(context: UiContext) -> fastapi.APIRouter:
    """Public files under /ft: our own style and samples, and nothing that a visitor brought."""
    router = fastapi.APIRouter()
    folders = {"static": STATIC, "portraits": context.assets / "portraits"}

    @router.get("/ft/public/{folder}/{name:path}")
    def public(folder: str, name: str) -> Response:
        root = folders.get(folder)
        path = None if root is None else (root / name).resolve()
        if root is None or path is None or not path.is_relative_to(root) or not path.is_file():
            return PlainTextResponse("There is no such file.", status_code=404)
        return FileResponse(path, headers={"Cache-Control": "public, max-age=86400"})

    _add_probes(router, context)
    return router


def _add_probes(router: fastapi.APIRouter, context: UiContext) -> None:
    """What a host asks: is the app alive, does the engine make progress, how much has been done."""

    def answer(what: health.Health) -> Response:
        return PlainTextResponse(what.words, status_code=what.http_status, headers=_NOT_KEPT)

    @router.get("/live")
    def live() -> Response:
        return answer(health.live(context.client.status()))

    @router.get("/ready")
    def ready() -> Response:
        return answer(health.ready(context.client.status()))

    @router.get("/metrics")
    def metrics() -> Response:
        text = health.metrics(context.client.status())
        return Response(text, media_type=health.METRICS_TYPE, headers=_NOT_KEPT)


class Guard:
    """Middleware: limits how often an address may start work, and adds headers that make browsers careful."""

    def __init__(self, app: Asgi, rate: RateLimit) -> None:
        self._app = app
        self._rate = rate

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if self._is_costly(scope) and not self._rate.allows((scope.get("client") or ("", 0))[0]):
            refusal = PlainTextResponse("Too many requests from your address; wait a minute.", status_code=429)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _is_costly(self, scope: Message) -> bool:
        return scope["method"] == "POST" and str(scope["path"]).startswith(_COSTLY)
