"""How a request is refused before anything was done for it, a sentence that pages and programs can show; and what it
asks of Gradio, however its path is written.

Called by ui/guard.py and ui/shutters.py, which stand before every route.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

_UNUSABLE = 422
_CALL = "/gradio_api/queue/join"
_CLIENT = "gradio_client/"
_GRADIO = re.compile(r"/(?:gradio_api/|file[=/]|monitoring)")


def asked_route(path: str) -> str:
    """A path from Gradio's part on: behind a proxy Gradio also answers below its root path, once or twice."""
    found = _GRADIO.search(path)
    return path[found.start() :] if found else path


def is_foreign(asked: HTTPConnection) -> bool:
    """Whether a page of another site sends it, one at another port or name of the same machine included.

    Over plain http browsers tell only where the page is from; programs tell nothing and are let through.
    """
    site, origin = asked.headers.get("sec-fetch-site"), asked.headers.get("origin")
    return origin is not None and not is_ours(asked, origin) if site is None else site not in ("same-origin", "none")


def is_ours(asked: HTTPConnection, origin: str) -> bool:
    """Whether a page from there is one of those that this request goes to."""
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    # The second is what proxies write that ask under a name of their own.
    return place in (asked.headers.get("host"), asked.headers.get("x-forwarded-host"))


def refused(asked: HTTPConnection, status: int, words: str) -> JSONResponse:
    """`words` as Gradio's page (error, detail) and its client for Python read them.

    That client shows a sentence for 422 only, and of calls only; so this is what its calls get in place of `status`.
    """
    is_clients = asked.headers.get("user-agent", "").startswith(_CLIENT)
    if is_clients and asked_route(str(asked.scope["path"])) == _CALL:
        status = _UNUSABLE
    told = [{"__type__": "validate", "is_valid": False, "parameter_name": "request", "message": words}]
    body = {"error": words, "detail": told if status == _UNUSABLE else words}
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store"})
