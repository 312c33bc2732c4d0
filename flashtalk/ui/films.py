"""Finished films on disk: where they lie, how a visitor fetches them. Used by ui/tabs and ui/routes."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import fastapi
from fastapi.responses import FileResponse, PlainTextResponse, Response

from flashtalk.errors import InputError
from flashtalk.ui.context import UiContext
from flashtalk.ui.texts import LANGUAGES, Pair, language_of

TEXTS: dict[str, Pair] = {
    "films.gone": (
        "This film is not here any more: films are kept for a while only. Make it again.",
        "该视频已不存在（视频只保留一段时间），请重新生成。",
    ),
}

_PURPOSE = "film"
_NAMES = {"film.mp4": "video/mp4", "film.flashtalk.json": "application/json"}
_ID = re.compile(r"[0-9a-f]{32}")


class FilmStore:
    """Folders of finished films below the app's own; each has a random name. ui/cleaning.py removes old ones."""

    def __init__(self, context: UiContext) -> None:
        self._context = context
        self._folder = context.folder / "films"
        self._folder.mkdir(exist_ok=True, mode=0o700)

    def new(self) -> Path:
        """An empty folder for one film of whoever asks now; their oldest ones may go for it."""
        return self._context.kept.new(self._folder)

    def address(self, path: Path) -> str:
        """Where its visitor, and who else gets the address from them, can fetch a file of `new()`; below the page's."""
        token = self._context.tokens.issue(_PURPOSE, path.parent.name, self._context.door.config.output_age_s)
        return f"ft/films/{token}/{path.name}"

    def routes(self) -> fastapi.APIRouter:
        """`GET /ft/films/{token}/{name}`: the file, or 404 for anything that is not the token's."""
        router = fastapi.APIRouter()

        @router.get("/ft/films/{token}/{name}")
        def film(token: str, name: str, asked: fastapi.Request) -> Response:
            path = self._find(token, name)
            if path is None:
                return gone(asked)
            return FileResponse(path, media_type=_NAMES[name], filename=f"flashtalk-{path.parent.name[:6]}{name[4:]}")

        return router

    def _find(self, token: str, name: str) -> Path | None:
        try:
            film = self._context.tokens.check(token, _PURPOSE)
        except InputError:
            return None
        path = self._folder / film / name
        return path if _ID.fullmatch(film) and name in _NAMES and path.is_file() else None


def gone(asked: fastapi.Request) -> Response:
    """404, in the visitor's language: a browser shows it to who follows an old link."""
    words = TEXTS["films.gone"][LANGUAGES.index(language_of(asked))]
    return PlainTextResponse(words, status_code=404, headers={"Cache-Control": "no-store"})


def download_links(links: list[tuple[str, str]]) -> str:
    """HTML of (address, words) as buttons that save a file."""
    anchors = (f'<a class="ft-save" href="{escape(a)}" download>{words}</a>' for a, words in links)
    return f'<div class="ft-saves">{"".join(anchors)}</div>'
