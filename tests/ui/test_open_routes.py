"""Every route of the mounted app: which are open is written down here, and what Gradio adds is shut until it is too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

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
        *(f"stream/x/x/x/{name}" for name in ("playlist.m3u8", "playlist-file", "x.x")),
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
