"""Stands before every route, Gradio's and ours: who may come in, how often, and what browsers are told. For build.py.

With a password, all that is open without it is `_OPEN`: what a host asks, the page that asks for the password, and
files that ship with the app. Everything else, /metrics and sockets included, wants Gradio's login or HTTP Basic.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.requests import HTTPConnection
from fastapi.responses import Response
from gradio.routes import App

from flashtalk.ui.browsers import address_of
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.refusal import asked_route, refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_OPEN = ("/", "/live", "/ready", "/login", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
_OPEN_FOLDERS = ("/assets/", "/static/", "/ft/public/", "/live/static/")
_COSTLY = (
    "/login",
    "/gradio_api/upload",
    "/gradio_api/queue/join",
    "/gradio_api/call/",
    "/gradio_api/run/",
    "/ft/jobs/",
)
_WRONG_PER_MINUTE = 10
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(self)"),
)


class Login:
    """Knows who gave the password: to Gradio's page, which left a cookie, or in this very request."""

    def __init__(self, pages: App, auth: tuple[str, str]) -> None:
        self._pages = pages
        self._wanted = ":".join(auth).encode()

    def knows(self, asked: HTTPConnection) -> bool:
        """Whether this request, or the opening of this socket, comes from somebody who gave it to the page."""
        names = (f"access-token-{self._pages.cookie_id}", f"access-token-unsecure-{self._pages.cookie_id}")
        return any(asked.cookies.get(name) in self._pages.tokens for name in names)

    def is_told(self, asked: HTTPConnection) -> bool:
        """Whether the password is in this very request."""
        kind, _, told = asked.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(told, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            return False
        return hmac.compare_digest(given, self._wanted)


class Guard:
    """Middleware. `login` is None where nobody is asked for a password."""

    def __init__(self, app: Asgi, rate: RateLimit, login: Login | None) -> None:
        self._app = app
        self._rate = rate
        self._login = login
        self._wrong = RateLimit(_WRONG_PER_MINUTE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await refusal(scope, receive, send_with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        path = str(asked.scope["path"])
        is_open = path in _OPEN or path.startswith(_OPEN_FOLDERS)
        if self._login and not is_open and (refusal := self._no_password(asked, self._login)):
            return refusal
        costly = asked.scope.get("method") == "POST" and asked_route(path).startswith(_COSTLY)
        if costly and not self._rate.allows(address_of(asked)):
            return refused(asked, 429, "Too many requests from your address; wait a minute.")
        return None

    def _no_password(self, asked: HTTPConnection, login: Login) -> Response | None:
        """Who guesses is soon heard no more, so that the right guess is as good as a wrong one."""
        if login.knows(asked):
            return None
        address, tries = address_of(asked), "authorization" in asked.headers
        if tries and not self._wrong.would_allow(address):
            return refused(asked, 429, "Too many wrong passwords from your address; wait a minute.")
        if login.is_told(asked):
            return None
        if tries:
            self._wrong.allows(address)
        return refused(asked, 401, "Log in first.")
