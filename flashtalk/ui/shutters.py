"""What of Gradio stays shut: routes that this app has no use for, files named by address, sessions of other browsers,
requests that another site sends, uploads for which there is no room; and calls of what is not there. Middleware, added
by ui/build.py.

A Gradio session is known by a word that its page made up. Here it belongs to the browser that used it first, known by
a cookie that no script can read (ui/browsers.py); to all others it does not exist. Nor does a file of another browser.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from itertools import islice
from typing import Any

from fastapi import HTTPException
from fastapi.requests import HTTPConnection
from fastapi.responses import Response
from starlette.requests import ClientDisconnect, Request

from flashtalk.config_app import DoorConfig
from flashtalk.ui.arrivals import Arrivals
from flashtalk.ui.browsers import Browsers, address_of, is_shared
from flashtalk.ui.endpoints import Endpoints, as_refusals
from flashtalk.ui.owners import Owners
from flashtalk.ui.plain_json import values_at_most
from flashtalk.ui.refusal import asked_route, is_foreign, refused, translated

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_OPEN = re.compile(
    r"/(ft/.*|live(/.*)?|ready|metrics"
    r"|config/?|login/?|logout|favicon\.ico|manifest\.json|robots\.txt|theme\.css|(assets|static|svelte)/.*"
    r"|gradio_api/(app_id/?|info/?|openapi\.json|login_check/?|startup-events|theme\.css|upload|upload_progress|cancel"
    r"|reset/?|heartbeat/[^/]+|queue/(join|data|status)|(call|run|api)/.*|stream/(?!.*playlist-file/?$).*|file[=/].*))?",
    re.DOTALL,
)
"""All that is there: our routes, and those of Gradio's that its page and its clients ask for. Not playlist-file, which
copies a whole film for each that asks."""
_NAME_BYTES = 255
"""Of a file, at most; disks fail over longer ones."""
_UPLOAD_LETTERS = 64
"""Of the name that a page makes up for one; Gradio remembers it for a while."""
_SESSION = re.compile(r"/gradio_api/(?:heartbeat/([^/]+)$|stream/([^/]+)/.)")
_CALLS = tuple(
    f"/gradio_api/{route}" for route in ("queue/join", "call/", "run/", "api/", "cancel", "reset", "stream/")
)
_UPLOAD = "/gradio_api/upload"
_FILE = re.compile(r"(?:/gradio_api)?/file[=/](.*)", re.DOTALL)
_SAFE = ("GET", "HEAD")
"""What another site may ask too, and cannot read; not what browsers ask before they send what it may not."""
_LOGOUT = "/logout"
"""Gradio's, which does something over a GET."""
_BODY_MAX_BYTES = 256 << 10
"""Of what is no upload."""
_MOST_VALUES = 4096
_TOO_SLOW = "This came too slowly; try again over a better connection."
_NO_FILE = "There is no such file (any more); choose it again."
_MOST_FILES = 64
"""That one call may name."""
_DRAWN = "data:image/svg+xml,"
"""So the page's own chooser names an SVG that a visitor brings, beside its path."""
_KNOWN_SESSIONS = 16384
_SESSION_LETTERS = 128
_SETTLING_S = 30.0
"""Two pages opened at once by a new browser get two cookies, of which one stays; a session may change hands so long."""
_FREE_BYTES = 4 << 30
"""Of the disk, which uploads leave to films; these stop at less (JobsConfig)."""
_MOST_BYTES = 1 << 30
_AROUND_BYTES = 1 << 16
"""Of an upload, around its file."""
_UNDER_WAY = _KEPT = 4
"""Of the longest uploads, that one address may have under way, and brought while uploads are kept."""
_PATIENCE_S = 30.0
_SLOWEST_BYTES_PER_S = 16 << 10
"""A body has the patience, and as long as it takes at this rate."""


class Sessions:
    """Which browser a Gradio session belongs to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def belongs(self, session: str, browser: str) -> bool:
        """Whether it is this browser's; a new one becomes it, if it is no longer than any that a page makes up."""
        if not 0 < len(session) <= _SESSION_LETTERS:
            return False
        now_s = time.monotonic()
        with self._lock:
            owner, since_s = self._known.pop(session, (browser, now_s))
            if owner != browser and now_s - since_s < _SETTLING_S and owner and browser:
                owner = browser
            self._known[session] = (owner, since_s)
            if len(self._known) > _KNOWN_SESSIONS:
                self._known.popitem(last=False)
        return secrets.compare_digest(owner.encode(), browser.encode())


class Shutters:
    """owners: of what visitors bring; endpoints: of Gradio behind it; below: a proxy's path; free_bytes: what uploads
    leave of their folder's disk; most_bytes: of a file; patience_s: with a body, however short; age_s: of uploads.
    """

    def __init__(
        self,
        app: Asgi,
        browsers: Browsers,
        owners: Owners,
        endpoints: Endpoints,
        *,
        below: str = "",
        free_bytes: int = _FREE_BYTES,
        most_bytes: int = _MOST_BYTES,
        patience_s: float = _PATIENCE_S,
        age_s: float = DoorConfig.upload_age_s,
    ) -> None:
        self._app = app
        self._browsers = browsers
        self._owners = owners
        self._endpoints = endpoints
        self._below = below.rstrip("/")
        self._free_bytes = free_bytes
        self._most_bytes = most_bytes + _AROUND_BYTES
        self._patience_s = patience_s
        self._sessions = Sessions()
        self._arrivals = Arrivals(_KEPT * self._most_bytes, age_s)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "POST":
            receive = _hurried(receive, self._patience_s, translated(HTTPConnection(scope), _TOO_SLOW))
        asked = Request(scope, receive)
        refusal = self._refusal(asked)
        if refusal is None and asked.method == "POST" and _route(asked) != _UPLOAD:
            refusal, receive = await self._checked_body(asked)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if asked.method == "POST" and _route(asked) == _UPLOAD:
            send = self._owners.noting(send, self._browsers.known(asked))
            with self._arrivals.one_more(address_of(asked), _length(asked) or 0, receive) as counted:
                await self._app(scope, counted, send)
            return
        if scope["path"] == "/" and (words := self._browsers.cookie_for(asked)):
            send = _with_cookie(send, words)
        await self._app(scope, receive, as_refusals(asked, send))

    def _refusal(self, asked: Request) -> Response | None:
        path, inside = _route(asked), self._inside(asked)
        upload = asked.query_params.get("upload_id", "")
        if not _OPEN.fullmatch(inside) or _longest_name(path) > _NAME_BYTES or len(upload) > _UPLOAD_LETTERS:
            return refused(asked, 404, "There is nothing here.")
        if (asked.method not in _SAFE or inside == _LOGOUT) and is_foreign(asked):
            return refused(asked, 403, "Another site sent this; open the page itself.")
        found = _SESSION.match(path)
        named = (found[1] or found[2]) if found else asked.query_params.get("session_hash")
        if named and not self._is_own(named, asked):
            return refused(asked, 404, "There is no such session.")
        wanted = _FILE.match(path)
        if wanted and not self._may_have(wanted[1], asked):
            return refused(asked, 404, _NO_FILE)
        if asked.method == "POST":
            return self._no_room(asked) if path == _UPLOAD else None
        return self._endpoints.why_not_hear(asked)

    def _inside(self, asked: Request) -> str:
        """The path without that of the proxy: Gradio answers below it too, once or twice."""
        path = str(asked.scope["path"])
        while self._below and path.startswith(f"{self._below}/"):
            path = path.removeprefix(self._below)
        return path

    def _is_own(self, session: str, asked: Request) -> bool:
        return self._sessions.belongs(session, self._browsers.known(asked))

    def _may_have(self, path: str, asked: Request) -> bool:
        return self._owners.may_have(path, self._browsers.known(asked))

    def _no_room(self, asked: Request) -> Response | None:
        size = _length(asked)
        if size is None:
            return refused(asked, 411, "Say how long the file is.")
        if size > self._most_bytes:
            return refused(asked, 413, f"The file is too long; give one of {self._most_bytes >> 20} MiB at most.")
        if self._arrivals.to_come[address_of(asked)] + size > _UNDER_WAY * self._most_bytes:
            return refused(asked, 429, "Too many uploads from your address are under way; wait for one of them.")
        if not is_shared(address_of(asked)) and self._arrivals.are_too_many(address_of(asked), size):
            return refused(asked, 429, "Your address brought very much lately; try again in a quarter of an hour.")
        uploads = self._owners.uploads
        folder = uploads if uploads.is_dir() else uploads.parent
        if shutil.disk_usage(folder).free - self._arrivals.to_come.total() - size < self._free_bytes:
            return refused(asked, 507, "The server has no room for this file just now; try a smaller one, or later.")
        return None

    async def _checked_body(self, asked: Request) -> tuple[Response | None, Receive]:
        """Why not, or None; and the body once more for whoever comes next."""
        parts, size = [], 0
        try:
            async for part in asked.stream():
                parts.append(part)
                size += len(part)
                if size > _BODY_MAX_BYTES:
                    return refused(asked, 413, "This request is too long."), _again(b"", asked)
        except HTTPException:
            return refused(asked, 408, _TOO_SLOW), _again(b"", asked)
        except ClientDisconnect:
            return refused(asked, 400, "The request broke off."), _again(b"", asked)
        body = b"".join(parts)
        if values_at_most(body) > _MOST_VALUES:
            return refused(asked, 413, "This request is too long."), _again(b"", asked)
        is_call = _route(asked).startswith(_CALLS)
        return self._why_not(body, asked) if is_call else None, _again(body, asked)

    def _why_not(self, body: bytes, asked: Request) -> Response | None:
        try:
            tree = json.loads(body or b"{}", parse_constant=_finite, parse_float=_finite)
            json.dumps(tree, ensure_ascii=False).encode()  # Gradio's answers have in them what was wrong
        except (ValueError, RecursionError) as error:
            is_half = isinstance(error, UnicodeEncodeError)
            return refused(asked, 400, "This has half of a character in it." if is_half else "This is no JSON.")
        session = tree.get("session_hash") if isinstance(tree, dict) else None
        if isinstance(session, str) and not self._is_own(session, asked):
            return refused(asked, 404, "There is no such session.")
        named = list(islice(_files_named(tree), _MOST_FILES + 1))
        if len(named) > _MOST_FILES:
            return refused(asked, 413, "This request names too many files.")
        if wrong := next(filter(_is_address, named), None):
            return _no_upload(asked, str(wrong.get("url")))
        if not all(self._may_have(path, asked) for one in named if isinstance(path := one.get("path"), str)):
            return refused(asked, 404, _NO_FILE)
        return self._endpoints.why_not_call(asked, tree)


def _finite(number: str) -> float:
    """Raises ValueError for what is none, which Gradio cannot answer."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(number)
    return value


def _route(asked: Request) -> str:
    return asked_route(str(asked.scope["path"]))


def _longest_name(path: str) -> int:
    return max(len(part.encode(errors="replace")) for part in path.split("/"))


def _files_named(tree: Any) -> Iterator[dict[str, Any]]:
    """What stands for a file anywhere in there, which Gradio opens or fetches."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            if isinstance(one.get("path"), str) or isinstance(one.get("url"), str):
                yield one
        elif isinstance(one, list):
            waiting += one


def _is_address(file: dict[str, Any]) -> bool:
    """Whether it is named by more than its path. Pages add the address to a path, of which Gradio makes nothing."""
    path, url = file.get("path"), file.get("url")
    if not isinstance(path, str) or "://" in path:
        return True
    return isinstance(url, str) and url.lstrip().lower().startswith("data:")


def _no_upload(asked: Request, url: str) -> Response:
    if url.startswith(_DRAWN):
        return refused(asked, 422, "The picture is SVG, which is not supported; save it as PNG, JPEG or WebP.")
    return refused(asked, 422, "Files are taken as uploads only, not by their address.")


def _again(body: bytes, asked: Request) -> Receive:
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            return await asked.receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _hurried(receive: Receive, patience_s: float, words: str) -> Receive:
    """`receive` that ends with 408 and `words` when a body comes too slowly; what comes after it has time."""
    left_s, is_whole = patience_s, False

    async def receive_in_time() -> Message:
        nonlocal left_s, is_whole
        if is_whole:
            return await receive()
        began_s = time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), left_s)
        except TimeoutError:
            raise HTTPException(408, words) from None
        left_s += len(message.get("body", b"")) / _SLOWEST_BYTES_PER_S - (time.monotonic() - began_s)
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


def _with_cookie(send: Send, words: str) -> Send:
    """The page itself brings the browser's cookie."""

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"set-cookie", words.encode())]
        await send(message)

    return send_with_cookie


def _length(asked: Request) -> int | None:
    """Of the body, if it is true: beside a transfer encoding any length may stand, and is not what comes."""
    if "transfer-encoding" in asked.headers:
        return None
    told = asked.headers.get("content-length", "")
    return int(told) if told.isdecimal() else None
