"""Who asks: a browser, known by a cookie that only we can issue, or a program, which has none and is known by its
address. Used by ui/shutters.py, owners.py, visits.py and live/.
"""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass

import gradio as gr
from fastapi.requests import HTTPConnection
from gradio.context import LocalContext

from flashtalk.errors import InputError
from flashtalk.ui.tokens import Tokens

_COOKIE = "flashtalk_browser"
_PURPOSE = "browser"
_COOKIE_AGE_S = 365 * 86400
_RENEWED_S = _COOKIE_AGE_S / 2
"""With less left it is renewed: who comes now and then stays known, films and all."""
_EMBEDDED = "SameSite=None; Secure; Partitioned"
"""So that the cookie also arrives in a page that another site shows in itself; browsers take this over https only."""
_HOUSEHOLD_BITS = 64
"""Of an IPv6 address, which belong to one connection; the rest its owner chooses freely."""


@dataclass(frozen=True)
class Asker:
    """Words that stand for who asks, the same each time, from which nobody can tell a name or an address.

    visitor: of the browser, or of a program's address. address: "" where many may share one that we know.
    """

    visitor: str = ""
    address: str = ""


class Browsers:
    """Issues the cookie and knows it again, after a restart too. Thread-safe. One for each app.

    cookie: its name.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        # Browsers send cookies to all apps of one machine, whatever their port: each has a name of its own.
        self.cookie = f"{_COOKIE}_{tokens.word('cookie', _COOKIE)[:8]}"

    def known(self, asked: HTTPConnection | gr.Request) -> str:
        """The browser's name; "" for one without a cookie that was issued here, as programs are."""
        return self._name_in(asked)

    def new(self) -> str:
        """A cookie's value for a browser that has none."""
        return self._issued(secrets.token_hex(16))

    def cookie_for(self, asked: HTTPConnection) -> str:
        """The header's words that give the browser one, the same name in it if it has one; "" while that is young."""
        if self._name_in(asked, _RENEWED_S):
            return ""
        sites = _EMBEDDED if _is_https(asked) else "SameSite=Lax"
        value = self._issued(self.known(asked) or secrets.token_hex(16))
        return f"{self.cookie}={value}; Path=/; Max-Age={_COOKIE_AGE_S}; HttpOnly; {sites}"

    def now(self) -> str:
        """The browser that Gradio serves in this context; "" for programs and outside of one."""
        request = _served()
        return "" if request is None else self.known(request)

    def asker(self, asked: HTTPConnection | None = None) -> Asker:
        """Who asks: by this request, or else in this context."""
        request = asked or _served()
        if request is None:
            return Asker()
        address = address_of(request)
        shared = "" if is_shared(address) else self._tokens.word("address", address)
        return Asker(self._tokens.word("visitor", self.known(request) or address), shared)

    def _name_in(self, asked: HTTPConnection | gr.Request, left_s: float = 0.0) -> str:
        try:
            return self._tokens.check(str(asked.cookies.get(self.cookie, "")), _PURPOSE, left_s)
        except InputError:
            return ""

    def _issued(self, name: str) -> str:
        return self._tokens.issue(_PURPOSE, name, _COOKIE_AGE_S)


def address_of(asked: HTTPConnection | gr.Request) -> str:
    """Where it comes from, as far as limits care; "" where that is not known."""
    told = asked.client.host if asked.client else ""
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return str(told)
    if address.version == 6 and address.ipv4_mapped is None and not address.is_loopback:
        return str(ipaddress.IPv6Network((int(address), _HOUSEHOLD_BITS), strict=False))
    return str(told)


def is_shared(address: str) -> bool:
    """Whether many may come from it: a proxy or tunnel on this machine that does not tell whom it asks for."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return not address


def _served() -> gr.Request | None:
    return LocalContext.request.get(None)


def _is_https(asked: HTTPConnection) -> bool:
    """For the browser, whatever a proxy makes of it; who lies here gets a cookie that it does not keep."""
    told = asked.headers.get("x-forwarded-proto", asked.url.scheme)
    return told.split(",")[0].strip() == "https"
