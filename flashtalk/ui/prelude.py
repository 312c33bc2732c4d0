"""What must stand first in the page, before Gradio's own script: our head, and none of Gradio's advertisement.

Gradio adds an app's `head` by script, too late for fonts, language and shade. Middleware, added by ui/build.py.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.requests import Request

from flashtalk.ui import theme
from flashtalk.ui.texts import language_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]

_ADVERTISEMENT = re.compile(rb'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>|<link rel="manifest"[^>]*>')
_HTML = re.compile(rb'<html\s+lang="\w+"')
_BASE = re.compile(rb"<base [^>]*>")


class Prelude:
    """Puts `theme.head()` and the tabs' `styles` (tags) at the beginning of the page at /."""

    def __init__(self, app: Asgi, styles: str) -> None:
        self._app = app
        self._head = (theme.head() + styles).encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request, as ASGI wants it."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        begin: Message = {}
        parts: list[bytes] = []

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                begin.update(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                body = self._changed(b"".join(parts), language_of(Request(scope)))  # type: ignore[arg-type]
                headers = [pair for pair in begin["headers"] if pair[0] != b"content-length"]
                await send({**begin, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
                await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, hold)

    def _changed(self, page: bytes, language: str) -> bytes:
        page = _HTML.sub(f'<html lang="{language}"'.encode(), _ADVERTISEMENT.sub(b"", page), count=1)
        # Before whatever else wants attention, but after the base that relative addresses go by.
        return _BASE.sub(lambda base: base[0] + self._head, page, count=1)
