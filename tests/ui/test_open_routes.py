"""Every route of the mounted app: which are open is written down here, and what Gradio adds is shut until it is too."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.source import demand
from tests.ui.manners_kit import Opened, page
from tests.ui.page_kit import FACE, VOICE
from tests.ui.test_manners import every_route

OURS = re.compile(r"/(ft/|live|ready$|metrics$)")
GRADIO = {
    "GET": {
        *("/", "/config", "/login", "/logout", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css"),
        *("/assets/x", "/static/x", "/svelte/x"),
        *("app_id", "info", "openapi.json", "login_check", "startup-events", "theme.css", "upload_progress"),
        *("queue/data", "queue/status", "call/x/x", "call/v2/x/x", "file=x", "file/x", "heartbeat/x"),
        *(f"stream/x/x/x/{name}" for name in ("playlist.m3u8", "x.x")),
    },
    "POST": {
        *("/login", "upload", "queue/join", "call/x", "call/v2/x", "run/x", "api/x", "cancel", "reset"),
        *("stream/x", "stream/x/close"),
    },
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Opened, Path]]:
    folder = tmp_path_factory.mktemp("open")
    with page(folder) as one:
        yield one, folder


def test_a_route_of_gradios_is_shut_until_it_is_allowed(opened: tuple[Opened, Path]) -> None:
    wrong = []
    with httpx.Client(base_url=opened[0].address) as web:
        for method, path in sorted(every_route(opened[0].app)):
            if OURS.match(path):
                continue
            short = path.removeprefix("/gradio_api/").rstrip("/") or "/"
            with web.stream(method, path) as answer:  # some have no end
                is_shut = answer.status_code == 404 and "There is nothing here." in answer.read().decode()
            if is_shut == (short in GRADIO[method]):
                wrong.append(f"{method} {path}: {'shut' if is_shut else 'open'}")
        demand("Routes are open that the list names, and no others:", wrong)
        for path in (
            "/pwa_icon/99999",
            "/pwa_icon",
            "/gradio_api/deep_link?session_hash=abc",
            "/openapi.json",
            "/ft/public/static/%00",
        ):
            assert web.get(path).status_code == 404
        assert {web.head(path).status_code for path in ("/live", "/ready")} == {200}, "balancers ask so"


JSON = {"content-type": "application/json"}
CALLS = [
    ("queue/join", {"fn_index": 9999, "session_hash": "a page", "data": []}, 404),
    ("queue/join", {"fn_index": -1, "session_hash": "a page", "data": []}, 404),
    ("queue/join", {"fn_index": "x", "session_hash": "a page", "data": []}, 422),
    ("queue/join", {"fn_index": 1e400, "session_hash": "a page", "data": []}, 400),
    *(("queue/join", {"fn_index": 0, "session_hash": "a" * letters, "data": []}, 404) for letters in (0, 1000)),
    ("call/make_film", {"session_hash": "", "data": []}, 404),
    *((way, "\ud800", 400) for way in ("queue/join", "call/speak", "call/v2/speak", "run/speak", "cancel", "reset")),
    *((f"{way}/nothing", {"data": []}, 404) for way in ("call", "call/v2", "run", "api")),
    *((f"{way}/make_film", {"data": [], "fn_index": 9999}, 404) for way in ("run", "api")),
    *((f"{way}/make_film", {"data": [1]}, 422) for way in ("call", "call/v2", "run", "api")),
    ("call/v2/make_film", {"portrait": None}, 422),
    ("call/%00", {"data": []}, 404),
]
"""Of which none is a call: where to, what, and the answer's status."""


def test_what_is_not_there_is_told_in_a_sentence_and_nothing_fails_inside(
    opened: tuple[Opened, Path], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    try:
        with httpx.Client(base_url=f"{opened[0].address}/gradio_api", headers=JSON) as web:
            for route, tree, status in CALLS:
                answer = web.post(route, content=json.dumps(tree))
                assert answer.status_code == status, (route, tree, answer.text)
            assert web.post("call/nothing", json={"data": []}).json()["error"].endswith(", compare.")
            for name in ("call/make_film/nothing", "call/v2/nothing/nothing"):
                assert (web.get(name).status_code, web.get(name).json()["error"][-1]) == (404, ".")
            told = web.get("queue/data?session_hash=nobody")  # as Gradio says it to its page
            assert json.loads(told.text.removeprefix("data: "))["session_not_found"]
    finally:
        logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert (caplog.text, capfd.readouterr().err) == ("", "")


@pytest.mark.parametrize(
    ("language", "words"), [("en", r"[\w ]+: .+ is not possible here; give .+\."), ("zh", "此处不能使用")]
)
def test_a_value_of_a_wrong_kind_is_told_and_nothing_fails_inside(
    language: str, words: str, opened: tuple[Opened, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """In each place of each endpoint, and nothing in the others."""
    sentences, told = [], set()
    with httpx.Client(base_url=f"{opened[0].address}/gradio_api", headers={"accept-language": language}) as web:
        for name, about in web.get("info").json()["named_endpoints"].items():
            for index in range(count := len(about["parameters"])):
                data = [None] * index + [{"a": 1}] + [None] * (count - 1 - index)
                event = web.post(f"call{name}", json={"data": data}).json()["event_id"]
                answer = web.get(f"call{name}/{event}").text
                assert "event: error" in answer, (name, index)
                sentences.append(json.loads(answer.partition("data: ")[2])["error"])
                told.add(bool(re.search(words, sentences[-1])))
    assert True in told
    demand("Sentences:", [str(one) for one in sentences if not (one and one[-1] in ".。")])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("host", ["10.1.2.3:7860", "localhost:7860"])
def test_no_other_site_reads_what_is_answered(host: str, opened: tuple[Opened, Path]) -> None:
    """Nor is it let send what it may not; Gradio would allow both, with the visitor's cookies."""
    for origin in ("http://evil.example", "http://localhost:1", "null"):
        headers = {"host": host, "origin": origin, "access-control-request-method": "POST"}
        with httpx.Client(base_url=opened[0].address, headers=headers) as web:
            for method, path, status in (
                ("GET", "/config", 200),
                ("GET", "/ft/house", 200),
                ("OPTIONS", "/gradio_api/upload", 403),
                ("OPTIONS", "/ft/jobs/visitor", 403),
            ):
                answer = web.request(method, path)
                assert answer.status_code == status
                assert not [name for name in answer.headers if name.startswith("access-control-allow")], path


def test_under_a_name_that_is_not_the_apps_nothing_is_answered(opened: tuple[Opened, Path]) -> None:
    for host, status in (("evil.example:7860", 421), ("localhost:7860", 200), ("10.1.2.3", 200)):
        assert httpx.get(f"{opened[0].address}/config", headers={"host": host}).status_code == status
        place = urlsplit(opened[0].address)
        with socket.create_connection((place.hostname, place.port), 5) as line:
            try:
                with connect(f"ws://{host}/live/socket", sock=line):
                    is_open = True
            except InvalidStatus:
                is_open = False
        assert is_open is (status == 200)


def test_no_file_of_the_server_gets_into_a_film(opened: tuple[Opened, Path], tmp_path: Path) -> None:
    """A picture outside the uploads, a device without end; nothing is copied on the way."""
    address, folder = opened[0].address, opened[1]
    outside = tmp_path / "outside.png"
    outside.write_bytes(FACE.read_bytes())

    def kept() -> set[Path]:
        return {*folder.rglob("*")}

    def film(portrait: str) -> httpx.Response:
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in (portrait, str(VOICE))]
        call = {"data": [*data, "", 1, 1, "", "", 0, False, "", ""]}
        return httpx.post(f"{address}/gradio_api/call/make_film", json=call, timeout=10)

    before = kept()
    for path in (str(outside), "/dev/zero", "/etc/passwd", ""):
        assert film(path).json()["error"].startswith("There is no such file")
    assert kept() == before
    assert film(str(FACE)).status_code == 200
