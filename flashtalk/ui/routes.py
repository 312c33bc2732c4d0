"""Routes beside Gradio's that belong to no tab: the page's files, how the house stands, and a host's probes."""

from __future__ import annotations

import fastapi
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from flashtalk.serving import health
from flashtalk.ui import house
from flashtalk.ui.context import UiContext
from flashtalk.ui.refusal import refused
from flashtalk.ui.theme import STATIC

_CHANGING = (".js", ".css")
"""A page and its scripts must be of one version."""
_PROBED = ["GET", "HEAD"]
_NOT_KEPT = {"Cache-Control": "no-store"}


def build_routes(context: UiContext) -> fastapi.APIRouter:
    """Public files under /ft: our own style and samples, and nothing that a visitor brought."""
    router = fastapi.APIRouter()
    folders = {"static": STATIC, "portraits": context.assets / "portraits"}

    @router.get("/ft/public/{folder}/{name:path}")
    def public(folder: str, name: str, asked: fastapi.Request) -> Response:
        root = folders.get(folder)
        path = None if root is None or "\0" in name else (root / name).resolve()
        if root is None or path is None or not path.is_relative_to(root) or not path.is_file():
            return refused(asked, 404, "There is no such file.")
        kept = "no-cache" if path.suffix in _CHANGING else "public, max-age=86400"
        return FileResponse(path, headers={"Cache-Control": kept})

    @router.get("/ft/house")
    def standing() -> Response:
        return JSONResponse(house.standing(context.client.status()), headers=_NOT_KEPT)

    _add_probes(router, context)
    return router


def _add_probes(router: fastapi.APIRouter, context: UiContext) -> None:
    """What a host asks: is the app alive, does the engine make progress, how much has been done."""

    def answer(what: health.Health) -> Response:
        return PlainTextResponse(what.words, status_code=what.http_status, headers=_NOT_KEPT)

    @router.api_route("/live", methods=_PROBED)
    def live() -> Response:
        return answer(health.live(context.client.status()))

    @router.api_route("/ready", methods=_PROBED)
    def ready() -> Response:
        return answer(health.ready(context.client.status()))

    @router.api_route("/metrics", methods=_PROBED)
    def metrics() -> Response:
        text = health.metrics(context.client.status())
        return Response(text, media_type=health.METRICS_TYPE, headers=_NOT_KEPT)
