"""By which names an app answers that asks nobody for a password: not by one that another site made to stand for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import fastapi
import httpx
import pytest
from typer.testing import CliRunner

import app as command
from flashtalk.errors import ConfigError
from flashtalk.ui import place
from flashtalk.ui.guard import Guard, Login
from flashtalk.ui.hosts import ANY, is_ours
from flashtalk.ui.limits import RateLimit

OURS = (
    *("localhost", "LOCALHOST:7860", "a.localhost:1", "localhost.", "127.0.0.1:7860", "10.1.2.3", "[::1]:7860", "[::]"),
    *("talk.example.com", "Talk.Example.com:8443", "talk.example.com."),
)
OTHERS = (
    *("evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost", "nas"),
    *("evil.example@localhost", "localhost@evil.example", "evil.example:80@localhost", "[evil.example]", "", ":7860"),
    *("a.talk.example.com", "127.0.0.1:7860:80", "::1", "127.0.0.1, evil.example", "localhost/evil.example", "\xe4"),
)
TALK = ("talk.example.com",)


async def behind(scope: Any, receive: Any, send: Any) -> None:
    await fastapi.Response("came through")(scope, receive, send)


def ask(guard: Guard, host: str, path: str = "/", **more: Any) -> httpx.Response:
    async def one() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://talk") as web:
            return await web.get(path, headers={"host": host.encode("latin-1"), **more})

    return asyncio.run(one())


def test_addresses_cannot_be_made_to_stand_for_another_and_names_can() -> None:
    assert [host for host in (*OURS, None) if not is_ours(host, TALK)] == []
    assert [host for host in OTHERS if is_ours(host, TALK)] == []
    assert all(is_ours(host, (ANY,)) for host in OTHERS)


def test_under_another_sites_name_nobody_comes_in_and_is_told_what_to_set() -> None:
    guard = Guard(behind, RateLimit(100), None, TALK)
    for path in ("/", "/config", "/metrics", "/ft/house", "/gradio_api/upload", "/live/static/wire.js"):
        refused = ask(guard, "evil.example:7860", path)
        assert refused.status_code == 421
        for words in ("--allow-host evil.example", "--auth NAME:PASSWORD", "不接受"):
            assert words in refused.text
        assert ask(guard, "127.0.0.1:7860", path).text == "came through"
    assert {ask(guard, "evil.example", path).status_code for path in ("/live", "/ready")} == {200}, "hosts ask so"
    assert len(ask(guard, "a" * 5000).text) < 1000


def test_a_proxy_may_say_for_whom_it_asks_and_a_page_cannot_say_so_in_its_place() -> None:
    guard = Guard(behind, RateLimit(100), None, TALK)
    assert ask(guard, "evil.example", **{"x-forwarded-host": "talk.example.com"}).status_code == 421
    assert ask(guard, "127.0.0.1", **{"x-forwarded-host": "talk.example.com"}).status_code == 200


def test_sockets_too() -> None:
    def opened(host: bytes) -> list[Any]:
        told: list[Any] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "websocket.accept"})

        async def send(message: Any) -> None:
            told.append(message["type"])

        scope = {"type": "websocket", "path": "/live/socket", "headers": [(b"host", host)], "client": ("127.0.0.1", 9)}
        asyncio.run(Guard(app, RateLimit(9), None, TALK)(scope, None, send))  # type: ignore[arg-type]
        return told

    assert opened(b"evil.example:7860") == ["websocket.close"]
    assert opened(b"localhost:7860") == ["websocket.accept"]


def test_with_a_password_the_name_does_not_matter() -> None:
    pages: Any = SimpleNamespace(cookie_id="x", tokens={})
    guard = Guard(behind, RateLimit(9), Login(pages, ("anna", "a secret")), ())
    assert ask(guard, "any.name", "/login").status_code == 200
    assert ask(guard, "any.name", "/config").status_code == 401


def test_the_names_are_those_of_how_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setattr(place.socket, "gethostname", lambda: "Box.lan")
    ask = {"port": None, "auth": None, "lan": False, "share": False, "open_to_all": True}

    def names(shared: str = "", **more: Any) -> set[str]:
        return {*command._names(command._doors(**(ask | more)), shared)}

    assert command._doors(**(ask | {"auth": "anna:x", "open_to_all": False, "hosts": TALK})).auth == ("anna", "x")
    assert names() == set()
    assert names(hosts=("talk.example.com",)) == {"talk.example.com"}
    assert names(lan=True) >= {"box.lan", "box", "box.local"}
    assert names("https://abc.gradio.live", share=True) == {"abc.gradio.live"}
    monkeypatch.setenv("GRADIO_SERVER_NAME", "inside.example")
    assert "inside.example" in names()
    monkeypatch.setenv("SPACE_ID", "somebody/talk")
    assert ANY in names()


@pytest.mark.parametrize("name", ["https://talk.example.com", "talk.example.com:8443", "talk example", "", "a/b"])
def test_a_name_that_is_none_is_told(name: str) -> None:
    result = CliRunner().invoke(command.app, ["--allow-host", name])
    assert isinstance(result.exception, ConfigError)
    assert "--allow-host" in str(result.exception)
    assert "talk.example.com" in str(result.exception)
