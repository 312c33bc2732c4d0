"""What of Gradio stays shut: routes that this app has no use for, files named by address, sessions of other browsers,
requests that another site sends, uploads for which there is no room. Middleware, added by ui/build.py.

A Gradio session is known by a word that its page made up. Here it belongs to the browser that used it first, known by
a cookie that no script can read; to all others it does not exist. Nor does a file that another browser brought.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from fastapi.responses import Response
from starlette.requests import ClientDisconnect, Request

from flashtalk.ui.owners import Owners
from flashtalk.ui.refusal import asked_route, refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "flashtalk_browser"
_OURS = re.compile(r"[0-9a-f]{32}")
_COOKIE_AGE_S = 365 * 86400
_EMBEDDED = "SameSite=None; Secure; Partitioned"
"""So that the cookie also arrives in a page that another site shows in itself; browsers take this over https only."""
_SHUT = re.compile(
    r"/gradio_api/(file[=/]/*[a-z][a-z0-9+.-]+:|proxy=|component_server|process_recording|custom_component|vibe|undo-vibe"
    r"|run-history|profiling|dev/)|/monitoring",
    re.IGNORECASE,
)
_SESSION = re.compile(r"/gradio_api/(?:heartbeat/([^/]+)$|stream/([^/]+)/.)")
_CALLS = tuple(f"/gradio_api/{route}" for route in ("queue/join", "call/", "run/", "api/", "cancel", "stream/"))
_UPLOAD = "/gradio_api/upload"
_FILE = re.compile(r"(?:/gradio_api)?/file[=/](.+)", re.DOTALL)
_SAFE = ("GET", "HEAD", "OPTIONS")
_CALL_MAX_BYTES = 8 << 20
_MOST_FILES = 64
"""That one call may name."""
_KNOWN_SESSIONS = 16384
_SETTLING_S = 30.0
"""Two pages opened at once by a new browser get two cookies, of which one stays; a session may change hands so long."""
_FREE_BYTES = 1 << 30
"""Of the disk, which uploads leave alone."""


class Sessions:
    """Which browser a Gradio session belongs to. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def belongs(self, session: str, browser: str) -> bool:
        """Whether it is this browser's; a new one becomes it."""
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
    """uploads: the folder where Gradio puts what visitors bring; free_bytes: what they leave of its disk."""

    def __init__(self, app: Asgi, uploads: Path, free_bytes: int = _FREE_BYTES) -> None:
        self._app = app
        self._uploads = uploads
        self._free_bytes = free_bytes
        self._sessions = Sessions()
        self._owners = Owners(uploads)
        self._arriving_bytes = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Request(scope, receive)
        refusal = self._refusal(asked)
        if refusal is None and asked.method == "POST" and _route(asked).startswith(_CALLS):
            refusal, receive = await self._checked_call(asked)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if asked.method == "POST" and _route(asked) == _UPLOAD:
            send = self._owners.noting(send, _browser(asked))
        with self._reserved(asked):
            await self._app(scope, receive, _with_cookie(asked, send))

    def _refusal(self, asked: Request) -> Response | None:
        path = _route(asked)
        if _SHUT.match(path):
            return refused(404, "There is nothing here.")
        if asked.method not in _SAFE and asked.headers.get("sec-fetch-site") == "cross-site":
            return refused(403, "Another site sent this; open the page itself.")
        found = _SESSION.match(path)
        named = (found[1] or found[2]) if found else asked.query_params.get("session_hash")
        if named and not self._is_own(named, asked):
            return refused(404, "There is no such session.")
        wanted = _FILE.match(path)
        if wanted and not self._owners.may_have(wanted[1], _browser(asked)):
            return refused(404, "There is no such file.")
        return self._no_room(asked) if path == _UPLOAD and asked.method == "POST" else None

    def _is_own(self, session: str, asked: Request) -> bool:
        return self._sessions.belongs(session, _browser(asked))

    def _no_room(self, asked: Request) -> Response | None:
        if _length(asked) is None:
            return refused(411, "Say how long the file is.")
        folder = self._uploads if self._uploads.is_dir() else self._uploads.parent
        if shutil.disk_usage(folder).free - self._arriving_bytes - (_length(asked) or 0) < self._free_bytes:
            return refused(507, "The server has no room for this file just now; try a smaller one, or later.")
        return None

    @contextmanager
    def _reserved(self, asked: Request) -> Iterator[None]:
        """Room for an upload that is under way."""
        size = (_length(asked) or 0) if _route(asked) == _UPLOAD else 0
        self._arriving_bytes += size
        try:
            yield
        finally:
            self._arriving_bytes -= size

    async def _checked_call(self, asked: Request) -> tuple[Response | None, Receive]:
        """Why not, or None; and the body once more for whoever comes next."""
        parts, size = [], 0
        try:
            async for part in asked.stream():
                parts.append(part)
                size += len(part)
                if size > _CALL_MAX_BYTES:
                    return refused(413, "This request is too long."), _again(b"", asked)
        except ClientDisconnect:
            return refused(400, "The request broke off."), _again(b"", asked)
        body = b"".join(parts)
        return self._why_not(body, asked), _again(body, asked)

    def _why_not(self, body: bytes, asked: Request) -> Response | None:
        try:
            tree = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return refused(400, "This is no JSON.")
        session = tree.get("session_hash") if isinstance(tree, dict) else None
        if isinstance(session, str) and not self._is_own(session, asked):
            return refused(404, "There is no such session.")
        named = list(islice(_files_named(tree), _MOST_FILES + 1))
        if len(named) > _MOST_FILES:
            return refused(413, "This request names too many files.")
        if any("://" in path and not is_stream for path, is_stream in named):
            return refused(422, "Files are taken as uploads only, not by their address.")
        if not all(self._owners.may_have(path, _browser(asked)) for path, _ in named):
            return refused(404, "There is no such file.")
        return None


def _route(asked: Request) -> str:
    return asked_route(str(asked.scope["path"]))


def _browser(asked: Request) -> str:
    """By the cookie that it got here; programs have none."""
    held = str(asked.cookies.get(COOKIE, ""))
    return held if _OURS.fullmatch(held) else ""


def _files_named(tree: Any) -> Iterator[tuple[str, bool]]:
    """Paths of files anywhere in there, which Gradio opens or fetches, and whether they are said to be a stream's."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            if isinstance(path := one.get("path"), str) and path:
                yield path, bool(one.get("is_stream"))
        elif isinstance(one, list):
            waiting += one


def _again(body: bytes, asked: Request) -> Receive:
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            return await asked.receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_cookie(asked: Request, send: Send) -> Send:
    """The page itself brings the browser's cookie."""
    if asked.scope["path"] != "/" or COOKIE in asked.cookies:
        return send
    sites = _EMBEDDED if _is_https(asked) else "SameSite=Lax"
    words = f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={_COOKIE_AGE_S}; HttpOnly; {sites}"

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"set-cookie", words.encode())]
        await send(message)

    return send_with_cookie


def _is_https(asked: Request) -> bool:
    """For the browser, whatever a proxy makes of it; who lies here gets a cookie that it does not keep."""
    told = asked.headers.get("x-forwarded-proto", asked.url.scheme)
    return told.split(",")[0].strip() == "https"


def _length(asked: Request) -> int | None:
    told = asked.headers.get("content-length", "")
    return int(told) if told.isdecimal() else None
