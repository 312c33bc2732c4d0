"""What a program meets that knows nothing but the endpoints: defaults, and refusals that are sentences."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import fastapi
import gradio as gr
import httpx
import pytest
from fastapi.requests import Request
from gradio_client import Client as Remote
from gradio_client import handle_file

from flashtalk.ui.browsers import Browsers
from flashtalk.ui.endpoints import Endpoints
from flashtalk.ui.guard import Guard, Login
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.owners import Owners
from flashtalk.ui.shutters import Shutters
from flashtalk.ui.tokens import Tokens
from tests.ui.live_kit import serve
from tests.ui.page_kit import FACE, VOICE, Page, busy_page

FILES = {"portrait": handle_file(FACE), "voice": handle_file(VOICE)}
FILMS = ("/make_film", "/make_long_film", "/compare", "/repeat_film")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("programs")) as opened:
        yield opened


@pytest.fixture(scope="module")
def remote(page: Page) -> Iterator[Remote]:
    with mock.patch.object(Remote, "_stream_heartbeat", return_value=None):  # it would hold up the server's end
        client = Remote(page.address, verbose=False)
        yield client
        client.close()


def test_a_film_needs_a_face_and_a_voice_and_nothing_else(remote: Remote) -> None:
    endpoints = remote.view_api(return_format="dict", print_info=False)["named_endpoints"]
    needed = {
        name: {one["parameter_name"] for one in endpoints[name]["parameters"] if not one["parameter_has_default"]}
        for name in FILMS
    }
    film = {"portrait", "voice"}
    assert needed == dict.fromkeys(FILMS[:2], film) | {"/compare": film | {"variants"}, "/repeat_film": {"project"}}
    assert remote.predict(**FILES, api_name="/make_long_film")["film"]["state"] in ("waiting", "rendering", "done")


def test_no_endpoint_promises_to_fetch_addresses_and_one_that_is_given_is_refused_in_words(remote: Remote) -> None:
    told = remote.view_api(return_format="dict", print_info=False)["named_endpoints"]
    said = [one["python_type"]["description"] for name in told for one in told[name]["parameters"]]
    assert not [words for words in said if "publicly" in words.lower()]
    assert sum("addresses are refused" in words for words in said) == 7
    far = {"path": "https://example.org/a.png", "meta": {"_type": "gradio.FileData"}}
    for name in FILMS[:2]:
        with pytest.raises(Exception, match="Files are taken as uploads only, not by their address"):
            remote.predict(portrait=far, voice=FILES["voice"], api_name=name)


def test_of_what_goes_wrong_inside_nothing_is_told_but_our_own_sentences(page: Page) -> None:
    with page.visitor() as visitor:
        function = page.function("make_film")
        values = visitor.inputs(function)
        odd = [{**values[0], "meta": None}, *values[1:]], [*values[:3], {"a": 1}, *values[4:]], [None, *values[1:]]
        told = [visitor.call(function, one) for one in odd]
        direct = visitor.web.post("/gradio_api/run/make_film", json={"data": [1] * len(values)})
    assert ["is not possible here; give " in one for one in told] == [True, True, False]
    assert "Choose a face first" in told[2], told[2]
    assert (direct.status_code, direct.json()["error"][:8]) == (422, "portrait")


def test_who_asks_too_often_is_told_so_in_json() -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await httpx_ok(send)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Guard(behind, RateLimit(1), None))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
            return [await web.post(f"/gradio_api/{name}") for name in ("call/make_film", "api/make_film")]

    first, second = asyncio.run(ask())
    assert first.status_code == 200
    assert (second.status_code, second.json()["error"][:17]) == (429, "Too many requests")


def test_sockets_count_as_requests_and_an_address_has_so_many_under_way() -> None:
    go_on = asyncio.Event()
    far = {"client": ("192.0.2.7", 1), "headers": [], "query_string": b"", "path": "/live/socket"}

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()

    async def ask(guard: Guard, **scope: Any) -> list[dict[str, Any]]:
        told = list[dict[str, Any]]()

        async def send(message: Any) -> None:
            told.append(message)

        await guard(far | scope, None, send)  # type: ignore[arg-type]
        return told

    async def all_of_them() -> None:
        guard = Guard(behind, RateLimit(2), None)
        stays = [asyncio.create_task(ask(guard, type="websocket")) for _ in range(2)]
        await asyncio.sleep(0)
        assert await ask(guard, type="websocket") == [{"type": "websocket.close", "code": 1008}]
        page = {"type": "http", "method": "GET"}
        stays += [asyncio.create_task(ask(guard, **page)) for _ in range(254)]
        await asyncio.sleep(0)
        assert (await ask(guard, **page))[0]["status"] == 429
        others = [asyncio.create_task(ask(guard, **page, client=(one, 1))) for one in ("192.0.2.8", "127.0.0.1")]
        go_on.set()
        assert [await one for one in (*stays, *others)] == [[]] * 258
        assert await ask(guard, **page) == []
        assert not guard._under_way

    asyncio.run(all_of_them())


def test_who_guesses_the_password_is_heard_no_more() -> None:
    """Not even with the right one under that name; who has logged in is, and for a while others of that address."""
    pages = SimpleNamespace(cookie_id="x", tokens={"known": "anna"})

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await httpx_ok(send)

    async def ask(words: list[str], cookie: str = "") -> list[int]:
        transport = httpx.ASGITransport(guard)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
            headers = {"cookie": f"access-token-x={cookie}"} if cookie else {}
            return [
                (await web.get("/metrics", headers={b"authorization": one.encode("latin-1"), **headers})).status_code
                for one in words
            ]

    guard = Guard(behind, RateLimit(100), Login(pages, ("anna", "a long secret")))  # type: ignore[arg-type]
    right = basic("anna:a long secret")
    assert asyncio.run(ask([right] * 30)) == [200] * 30
    assert asyncio.run(ask(["Basic é", "Basic !", *[basic("bruno:b")] * 10])) == [401] * 12
    assert asyncio.run(ask([basic("bruno:b"), right])) == [429, 200]
    assert asyncio.run(ask([*[basic("anna:b")] * 10, right])) == [401] * 10 + [429]
    assert asyncio.run(ask([right], cookie="known")) == [200]
    assert asyncio.run(ask([basic(f"name {number}:b") for number in range(39)])) == [401] * 38 + [429]


def test_the_pages_form_and_programs_guess_one_password_together() -> None:
    pages = SimpleNamespace(cookie_id="x", tokens={})
    heard: list[bytes] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        heard.append(await Request(scope, receive).body())
        await httpx_ok(send)

    async def ask(password: str, *, form: bool, name: str = "anna") -> int:
        transport = httpx.ASGITransport(guard)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
            given = {"username": (None, f" {name} "), "password": (None, password)}
            if form:
                return (await web.post("/login", files=given)).status_code
            return (await web.get("/metrics", headers={"authorization": basic(f"{name}:{password}")})).status_code

    guard = Guard(behind, RateLimit(1000), Login(pages, ("anna", "a long secret")))  # type: ignore[arg-type]
    assert {asyncio.run(ask("a long secret", form=True)) for _ in range(20)} == {200}
    assert {asyncio.run(ask("a guess", form=True)) for _ in range(9)} == {200}, "Gradio says that it is wrong"
    assert len(heard) == 29
    assert all(b"a guess" in body for body in heard[20:]), "Gradio gets the form whole"
    assert [asyncio.run(ask("a guess", form=False)) for _ in range(2)] == [401, 429]
    assert [asyncio.run(ask("a long secret", form=form)) for form in (True, False)] == [429, 429]
    assert len(heard) == 29
    assert asyncio.run(ask("b" * 5000, form=True)) == 413
    assert asyncio.run(ask("b", form=True, name="bruno")) == 200


def test_a_password_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashtalk.ui.guard._LOGIN_S", 0.1)

    async def nothing() -> Any:
        await asyncio.sleep(60)

    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/login",
        "headers": [],
        "query_string": b"",
        "client": ("1.2.3.4", 5),
    }
    guard = Guard(nothing, RateLimit(9), Login((), ("anna", "a long secret")))  # type: ignore[arg-type]
    asyncio.run(asyncio.wait_for(guard(scope, nothing, send), 5))
    assert told[0]["status"] == 400


def basic(told: str) -> str:
    return "Basic " + base64.b64encode(told.encode()).decode()


def test_gradios_client_shows_the_sentence_of_a_refusal(tmp_path: Path) -> None:
    """Of calls; an upload's refusal it shows as a number, whatever is said."""
    browsers = Browsers(Tokens(b"secret"))
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Button().click(lambda text: text, gr.Textbox(), gr.Textbox(), api_name="echo")
    app = gr.mount_gradio_app(fastapi.FastAPI(), blocks, "/", ssr_mode=False, run_history=False)
    app.add_middleware(Shutters, browsers=browsers, owners=Owners(tmp_path, browsers), endpoints=Endpoints(blocks))
    app.add_middleware(Guard, rate=RateLimit(2), login=None)
    with serve(app) as port, mock.patch.object(Remote, "_stream_heartbeat", return_value=None):
        client = Remote(f"http://127.0.0.1:{port}", verbose=False)
        with pytest.raises(Exception, match="This request is too long"):
            client.predict("x" * (9 << 20), api_name="/echo")
        assert client.predict("hm", api_name="/echo") == "hm"
        with pytest.raises(Exception, match="Too many requests from your address; wait a minute"):
            client.predict("hm", api_name="/echo")
        client.close()


async def httpx_ok(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
