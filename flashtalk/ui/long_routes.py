"""Routes of the long-video tab: a visitor's films as JSON, what may be done with them, and their pictures and sound.

Lists and actions ask for the visitor's token in a header, which other sites cannot send; media for the film's own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import fastapi
from fastapi import Body, Header
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from flashtalk.errors import FlashTalkError, InputError
from flashtalk.media.mp4 import part_path
from flashtalk.serving.jobs.record import Job, JobFolder
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.serving.jobs.rows import Row, pieces, playlist
from flashtalk.serving.jobs.shelf import View
from flashtalk.ui.films import gone
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.refusal import refused
from flashtalk.ui.tokens import Tokens

PURPOSE = "visitor"
TOKEN_AGE_S = 365 * 86400.0

_CURVE_POINTS = 240
_LARGEST_SEED = 2**31 - 1
_LONGEST_S = 1e6
_LONGEST_NUMBER = 9
_FRESH = {"Cache-Control": "no-store"}
_KEPT = {"Cache-Control": "private, max-age=3600, immutable"}

_STATUSES = {"token_refused": 404, "job_unknown": 404, "films_enough": 429, "overloaded": 503, "disk_full": 507}
"""Of an answer, by the error's code; 409 for all others."""

Visitor = Annotated[str, Header(alias="x-flashtalk-visitor")]


@dataclass(frozen=True)
class _Again:
    """Make these seconds again."""

    first_s: float
    end_s: float
    seed: int
    key: str

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> _Again:
        """From a request's JSON. Raises InputError."""
        try:
            asked = cls(float(tree["first_s"]), float(tree["end_s"]), int(tree["seed"]), str(tree["key"])[:80])
        except (KeyError, TypeError, ValueError, OverflowError):
            asked = cls(0, 0, -1, "")
        if not (0 <= asked.first_s < asked.end_s < _LONGEST_S and 0 <= asked.seed <= _LARGEST_SEED and asked.key):
            raise InputError("Give two moments in seconds, the second one later, a seed and a key.", code="span_range")
        return asked


def owner_of(tokens: Tokens, visitor: str) -> str:
    """Who holds the token. Raises InputError(token_refused)."""
    return tokens.check(visitor, PURPOSE)


def new_visitor(tokens: Tokens) -> str:
    """A token for somebody new."""
    return tokens.issue(PURPOSE, secrets.token_hex(16), TOKEN_AGE_S)


def job_routes(room: JobRoom, tokens: Tokens) -> fastapi.APIRouter:
    """All routes, below /ft/jobs; the room is open while the app runs."""
    router = fastapi.APIRouter(prefix="/ft/jobs", lifespan=_open_while_serving(room))
    _add_lists(router, room, tokens)
    _add_actions(router, room, tokens)
    _add_media(router, room)
    return router


def described(view: View, room: JobRoom) -> dict[str, Any]:
    """A film as its visitor may know it."""
    job, fps = view.job, view.job.stream.fps
    return {
        "id": job.id,
        "title": job.title,
        "state": job.state,
        "reason": job.reason,
        "reason_code": job.reason_code,
        "frames": view.job.frames,
        "goal_frames": job.goal_frames,
        "frames_a_second": fps,
        "seconds": job.total_frames / fps,
        "made_fps": None if view.fps is None else round(view.fps, 1),
        "left_s": None if view.left_s is None else round(view.left_s),
        "place": view.place,
        "chunks": len(view.rows),
        "created_s": round(job.created_s),
        "kept_until_s": round(room.kept_until_s(job)),
        "bytes": room.folder(job.id).bytes(),
        "width": job.stream.width,
        "height": job.stream.height,
        "span_s": [job.span.first / fps, job.span.end / fps] if job.span else None,
        "media": f"ft/jobs/media/{job.id}/{job.token}/",
    }


def drift_curve(rows: Sequence[Row], fps: int) -> list[list[float]]:
    """[second, likeness, sharpness, colour] of so many chunks, spread evenly."""
    step = max(1, -(-len(rows) // _CURVE_POINTS))
    return [[row.frame / fps, row.look.likeness, row.look.sharpness, row.look.colour] for row in rows[::step]]


def _open_while_serving(room: JobRoom) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        with_room = room.__enter__()
        try:
            yield
        finally:
            await asyncio.to_thread(with_room.__exit__, None, None, None)

    return lifespan


def _add_lists(router: fastapi.APIRouter, room: JobRoom, tokens: Tokens) -> None:
    @router.post("/visitor")
    def visitor() -> Response:
        return JSONResponse({"visitor": new_visitor(tokens)}, headers=_FRESH)

    @router.get("")
    def films(asked: fastapi.Request, visitor: Visitor = "") -> Response:
        return _answer(asked, lambda: [described(view, room) for view in room.jobs(owner_of(tokens, visitor))])

    @router.get("/{job_id}")
    def film(job_id: str, asked: fastapi.Request, visitor: Visitor = "") -> Response:
        def both() -> dict[str, Any]:
            view = room.view(owner_of(tokens, visitor), job_id)
            return described(view, room) | {"drift": drift_curve(view.rows, view.job.stream.fps)}

        return _answer(asked, both)


def _add_actions(router: fastapi.APIRouter, room: JobRoom, tokens: Tokens) -> None:
    actions = {"pause": room.pause, "resume": room.resume, "cancel": room.cancel, "remove": room.remove}

    @router.post("/{job_id}/again")
    def again(
        job_id: str, tree: Annotated[dict[str, Any], Body()], asked: fastapi.Request, visitor: Visitor = ""
    ) -> Response:
        def made() -> dict[str, Any]:
            owner = owner_of(tokens, visitor)
            job, wanted = room.job(owner, job_id), _Again.of(tree)
            first, end = (round(seconds * job.stream.fps) for seconds in (wanted.first_s, wanted.end_s))
            new = room.again(owner, job_id, first, min(end, job.total_frames), wanted.seed, wanted.key)
            return described(room.view(owner, new.id), room)

        return _answer(asked, made)

    @router.post("/{job_id}/{action}")
    def act(job_id: str, action: str, asked: fastapi.Request, visitor: Visitor = "") -> Response:
        call = actions.get(action)
        if call is None:
            return refused(asked, 404, "There is nothing here.")
        return _answer(asked, lambda: call(owner_of(tokens, visitor), job_id))


def _add_media(router: fastapi.APIRouter, room: JobRoom) -> None:
    @router.get("/media/{job_id}/{token}/{name}")
    def media(job_id: str, token: str, name: str, asked: fastapi.Request) -> Response:
        found = room.by_token(job_id, token)
        return (_media(*found, name) if found else None) or gone(asked)


def _media(job: Job, folder: JobFolder, rows: Sequence[Row], name: str) -> Response | None:
    stem, _, kind = name.partition(".")
    if name == "film.mp4" and folder.film.is_file():
        return FileResponse(folder.film, media_type="video/mp4", filename=_file_name(job), headers=_FRESH)
    if job.span or not rows:
        return None
    if name == "index.m3u8":
        text = playlist(rows, job.stream.fps, ended=job.state == "done")
        return PlainTextResponse(text, media_type="application/vnd.apple.mpegurl", headers=_FRESH)
    if name == "init.mp4":
        return _piece(folder, 0, rows[0].at)
    listed = pieces(rows, ended=job.state == "done")
    if kind == "m4s" and stem.isdecimal() and len(stem) < _LONGEST_NUMBER and int(stem) < len(listed):
        piece = listed[int(stem)]
        return _piece(folder, piece[0].at, sum(row.size for row in piece))
    return None


def _piece(folder: JobFolder, at: int, size: int) -> Response | None:
    """Bytes of the growing film, or of its second name once it is complete."""
    for path in (part_path(folder.film), folder.preview):
        data = _read(path, at, size)
        if data is not None:
            return Response(data, media_type="video/mp4", headers=_KEPT)
    return None


def _read(path: Path, at: int, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(at)
            data = file.read(size)
    except OSError:
        return None
    return data if len(data) == size else None


def _file_name(job: Job) -> str:
    plain = "".join(letter for letter in job.title if letter.isalnum() or letter in " -_").strip()
    return f"{plain[:60] or 'flashtalk'}.mp4"


def _answer(asked: fastapi.Request, call: Callable[[], object]) -> Response:
    try:
        return JSONResponse(call() or {}, headers=_FRESH)
    except FlashTalkError as error:
        status = _STATUSES.get(error.code, 409)
        return JSONResponse({"error": sentence(error, asked), "code": error.code}, status, headers=_FRESH)
