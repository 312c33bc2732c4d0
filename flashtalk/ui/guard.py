"""Stands before every route, Gradio's and ours: who may come in, how often, and what browsers are told. For build.py.

With a password, all that is open without it is `_OPEN`: what a host asks, the page that asks for the password, and
files that ship with the app. Everything else, /metrics and sockets included, wants Gradio's login or HTTP Basic.
Without one, the app must be asked by a name of its own (ui/hosts.py).
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException
from fastapi.requests import HTTPConnection, Request
from fastapi.responses import PlainTextResponse, Response
from gradio.routes import App
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from flashtalk.ui import hosts
from flashtalk.ui.browsers import address_of, is_shared
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.refusal import asked_route, refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_OPEN = ("/", "/live", "/ready", "/login", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
_PROBES = ("/live", "/ready")
"""Hosts ask these by whichever name."""
_OPEN_FOLDERS = ("/assets/", "/static/", "/ft/public/", "/live/static/")
_COSTLY = (
    "/login",
    "/gradio_api/upload",
    "/gradio_api/queue/join",
    "/gradio_api/call/",
    "/gradio_api/run/",
    "/gradio_api/api/",
    "/gradio_api/cancel",
    "/ft/jobs/",
)
_LOGIN = "/login"
_LOGIN_S = 10.0
"""A name and a password are one packet."""
_LOGIN_MAX_BYTES = 4096
_WRONG_PER_MINUTE = 10
"""Passwords under one name, from one address."""
_WRONG_PER_MINUTE_OF_ADDRESS = 60
"""Under all names; many people may share an address."""
_NAME_LETTERS = 64
_UNDER_WAY = 256
"""Requests and sockets of one address that are being answered; a page has some three that stay."""
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

    def accepts(self, given: bytes) -> bool:
        """Whether `name:password` is the right one."""
        return hmac.compare_digest(given, self._wanted)


class Guesses:
    """Who guesses is soon heard no more, so that the right guess is as good as a wrong one: nobody of that address
    under that name, and after more wrong ones under any. All ways to tell a password count together.
    """

    def __init__(self) -> None:
        self._of_name = RateLimit(_WRONG_PER_MINUTE)
        self._of_address = RateLimit(_WRONG_PER_MINUTE_OF_ADDRESS)

    def are_too_many(self, address: str, name: str) -> bool:
        """Whether a password is not even looked at."""
        return not (self._of_name.would_allow(_key(address, name)) and self._of_address.would_allow(address))

    def add(self, address: str, name: str) -> None:
        """A wrong one."""
        self._of_name.allows(_key(address, name))
        self._of_address.allows(address)


class Guard:
    """Middleware. `login` is None where nobody is asked for a password; `names` (see ui/hosts.py) count there only."""

    def __init__(self, app: Asgi, rate: RateLimit, login: Login | None, names: Collection[str] = (hosts.ANY,)) -> None:
        self._app = app
        self._rate = rate
        self._login = login
        self._names = names
        self._guesses = Guesses()
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        asked = HTTPConnection(scope)
        refusal = self._too_many(asked) or self._not_our_name(asked) or self._refusal(asked)
        if refusal is None and self._login and scope["path"] == _LOGIN and scope.get("method") == "POST":
            refusal, receive = await self._checked_login(Request(scope, receive), self._login)
        if refusal is None:
            with self._counted(address_of(asked)):
                await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "http":
            await refusal(scope, receive, send_with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008})

    @contextmanager
    def _counted(self, address: str) -> Iterator[None]:
        """One more request, or socket, of this address is being answered."""
        self._under_way[address] += 1
        try:
            yield
        finally:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]

    def _too_many(self, asked: HTTPConnection) -> Response | None:
        address = address_of(asked)
        if is_shared(address) or self._under_way[address] < _UNDER_WAY:
            return None
        return refused(asked, 429, "Too many requests from your address; wait a minute.")

    def _not_our_name(self, asked: HTTPConnection) -> Response | None:
        host = asked.headers.get("host")
        if self._login or asked.scope["path"] in _PROBES or hosts.is_ours(host, self._names):
            return None
        # No page is there yet that could show an error of ours.
        return PlainTextResponse(hosts.refusal(host or ""), status_code=421, headers={"Cache-Control": "no-store"})

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        path = str(asked.scope["path"])
        is_open = path in _OPEN or path.startswith(_OPEN_FOLDERS)
        if self._login and not is_open and (refusal := self._no_password(asked, self._login)):
            return refusal
        is_socket = asked.scope["type"] == "websocket"
        costly = is_socket or (asked.scope.get("method") == "POST" and asked_route(path).startswith(_COSTLY))
        if costly and not self._rate.allows(address_of(asked)):
            return refused(asked, 429, "Too many requests from your address; wait a minute.")
        return None

    def _no_password(self, asked: HTTPConnection, login: Login) -> Response | None:
        if login.knows(asked):
            return None
        if "authorization" not in asked.headers:
            return refused(asked, 401, "Log in first.")
        refusal, is_right = self._tried(asked, _told(asked), login)
        return refusal if refusal or is_right else refused(asked, 401, "Log in first.")

    async def _checked_login(self, asked: Request, login: Login) -> tuple[Response | None, Receive]:
        """The page's own form, which Gradio answers; and its body once more for Gradio."""
        body = b""
        try:
            async with asyncio.timeout(_LOGIN_S):
                async for part in asked.stream():
                    body += part
                    if len(body) > _LOGIN_MAX_BYTES:
                        return refused(asked, 413, "This request is too long."), asked.receive
            form = await Request(asked.scope, _again(body)).form()
        except (TimeoutError, ClientDisconnect, HTTPException, MultiPartException, ValueError, LookupError):
            return refused(asked, 400, "The request broke off."), asked.receive
        told = f"{str(form.get('username', '')).strip()}:{form.get('password', '')}"
        return self._tried(asked, told.encode(errors="replace"), login)[0], _again(body, asked.receive)

    def _tried(self, asked: HTTPConnection, told: bytes, login: Login) -> tuple[Response | None, bool]:
        """Why `name:password` is not heard, or None; and whether it is right."""
        address, name = address_of(asked), told.partition(b":")[0].decode(errors="replace")
        if self._guesses.are_too_many(address, name):
            return refused(asked, 429, "Too many wrong passwords from your address; wait a minute."), False
        is_right = login.accepts(told)
        if not is_right:
            self._guesses.add(address, name)
        return None, is_right


def _key(address: str, name: str) -> str:
    return f"{address} {name[:_NAME_LETTERS]}"


def _told(asked: HTTPConnection) -> bytes:
    """What HTTP Basic says, name:password; nothing for what is none."""
    kind, _, told = asked.headers.get("authorization", "").partition(" ")
    try:
        return base64.b64decode(told, validate=True) if kind.lower() == "basic" else b""
    except ValueError:
        return b""


def _again(body: bytes, then: Receive | None = None) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting or then is None else await then()

    return receive
