"""What there is to call: Gradio's functions, the names that programs call them by, and calls that are under way. Gradio
fails inside over what is not there, and over too few values; here these get a status and a sentence first. For
ui/shutters.py.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any

from fastapi.requests import Request
from fastapi.responses import Response
from gradio.block_function import BlockFunction
from gradio.blocks import Blocks
from gradio.server_messages import UnexpectedErrorMessage

from flashtalk.ui.refusal import asked_route, refused, translated

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_JOIN = "/gradio_api/queue/join"
_DATA = "/gradio_api/queue/data"
_NAMED = re.compile(r"/gradio_api/(call|run|api)/([^/]*)/?", re.DOTALL)
_BY_WORDS = re.compile(r"/gradio_api/call/v2/([^/]*)/?", re.DOTALL)
_EVENT = re.compile(r"/gradio_api/call/(?:v2/)?[^/]*/([^/]+)", re.DOTALL)
_NAME_LETTERS = 64
_FAULT, _UNUSABLE = 500, 422
_UNTOLD = b'"error":null'


class Endpoints:
    """Of one app, whose queue is set up."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def why_not_hear(self, asked: Request) -> Response | None:
        """Why there is nothing to hear of a call, or None."""
        route, queue = _route(asked), self._blocks._queue
        session = asked.query_params.get("session_hash")
        if route == _DATA and session is not None and session not in queue.pending_messages_per_session:
            return _no_session(asked)
        found = _EVENT.fullmatch(route)
        if found is None or found[1] in queue.event_ids_to_events or found[1] in queue.pending_messages_per_session:
            return None
        if any(found[1] in events for events in queue.pending_event_ids_session.values()):
            return None
        return refused(asked, 404, "There is no such call, or its answer was given.")

    def why_not_call(self, asked: Request, tree: Any) -> Response | None:
        """Why nothing can be called with this JSON, or None; what is no call at all is left to Gradio."""
        route = _route(asked)
        if not isinstance(tree, dict):
            return None
        if by_words := _BY_WORDS.fullmatch(route):
            return self._why_not_words(asked, by_words[1], tree)
        named = _NAMED.fullmatch(route)
        if named and (named[1] == "call" or tree.get("fn_index") is None):
            function = next((one for one in self._blocks.fns.values() if one.api_name == named[2]), None)
            return self._no_name(asked, named[2]) if function is None else _too_few(asked, function, tree)
        return self._why_not_numbered(asked, tree) if named or route == _JOIN else None

    def _why_not_numbered(self, asked: Request, tree: Mapping[str, Any]) -> Response | None:
        try:
            function = self._blocks.fns.get(int(tree["fn_index"]))
        except (KeyError, TypeError, ValueError):
            return None
        if function is None:
            return refused(asked, 404, "There is no such function (any more); load the page again.")
        return _too_few(asked, function, tree)

    def _why_not_words(self, asked: Request, name: str, tree: Mapping[str, Any]) -> Response | None:
        parameters = self._of_programs.get(f"/{name}")
        if parameters is None:
            return self._no_name(asked, name)
        known = {one["parameter_name"]: one["parameter_has_default"] for one in parameters}
        missing = [one for one, has_default in known.items() if not has_default and one not in tree]
        if missing or not tree.keys() <= {*known, "oauth_token"}:
            needed = ", ".join(one for one, has_default in known.items() if not has_default)
            return refused(
                asked, 422, f"This call misnames its values: {name} takes {', '.join(known)}; it needs {needed}."
            )
        return None

    @cached_property
    def _of_programs(self) -> Mapping[str, Any]:
        """The parameters of each, by its name behind a slash."""
        return {name: one["parameters"] for name, one in self._blocks.get_api_info()["named_endpoints"].items()}

    def _no_name(self, asked: Request, name: str) -> Response:
        names = ", ".join(one.removeprefix("/") for one in self._of_programs)
        return refused(asked, 404, f"There is no endpoint {name[:_NAME_LETTERS]}; there are {names}.")


def as_refusals(asked: Request, send: Send) -> Send:
    """`send`; where a call is answered at once, Gradio says 500 with each of our sentences, which are no faults."""
    named = _NAMED.fullmatch(_route(asked))
    if named is None or named[1] == "call":
        return send
    held: list[Message] = []

    async def send_refusals(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == _FAULT:
            held.append(message)
            return
        if held:
            await send({**held.pop(), "status": _FAULT if _UNTOLD in message.get("body", b"") else _UNUSABLE})
        await send(message)

    return send_refusals


def _route(asked: Request) -> str:
    return asked_route(str(asked.scope["path"]))


def _too_few(asked: Request, function: BlockFunction, tree: Mapping[str, Any]) -> Response | None:
    """Values that a visitor's session keeps may be left out in a call by name."""
    given, takes = tree.get("data"), len(function.inputs)
    told = sum(not one.skip_api for one in function.inputs)
    if not isinstance(given, list) or function.cancels or len(given) >= takes:
        return None
    if len(given) == told and _route(asked).startswith("/gradio_api/call/"):
        return None
    return refused(asked, 422, f"This call has {len(given)} values; {function.api_name} takes {told}.")


def _no_session(asked: Request) -> Response:
    """As Gradio's page knows it, which then asks again or loads itself anew."""
    words = translated(asked, "There is no such session.")
    message = UnexpectedErrorMessage(message=words, session_not_found=True)
    return Response(f"data: {message.model_dump_json()}\n\n", media_type="text/event-stream")
