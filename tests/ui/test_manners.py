"""How the app behaves at its door: ports and folders, passwords, waking up, leaving, what is kept and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from string import Formatter
from typing import Any

import fastapi
import httpx
import psutil
import pytest
import typer
import websockets
import yaml
from fastapi.requests import Request
from gradio_client import Client as Remote
from typer.testing import CliRunner
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

import app as command
from flashtalk.commands.settings import read_config
from flashtalk.config import DEFAULT_SERVE_CONFIG
from flashtalk.config_app import DoorConfig, LiveConfig, UiConfig
from flashtalk.errors import CheckpointError, ConfigError
from flashtalk.serving.protocol import ServiceStatus
from flashtalk.ui import build, frame, house, mishaps, values
from flashtalk.ui.browsers import address_of
from flashtalk.ui.cleaning import Cleaner, Rule
from flashtalk.ui.guard import _OPEN, _OPEN_FOLDERS
from flashtalk.ui.live.page import STATUS
from flashtalk.ui.lobby import House, Lobby
from flashtalk.ui.long_page import WORDS
from flashtalk.ui.place import listen, outer_addresses, own_folder
from flashtalk.ui.texts import Pair
from tests.source import ROOT, demand
from tests.ui.kit import free_port
from tests.ui.live_kit import serve, wait_until
from tests.ui.manners_kit import NAME, PASSWORD, Opened, page

OPEN = {"/", "/live", "/ready", "/login", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
OPEN_FOLDERS = {"/assets/", "/static/", "/ft/public/", "/live/static/"}
ENDPOINTS = {"/open_live", "/make_film", "/repeat_film", "/speak", "/make_long_film", "/compare"}
START_S = 300.0
END_S = 5.0
WORK_S = 0.3

HAN = re.compile(r"[\u4e00-\u9fff]")
SAME_IN_BOTH = re.compile(r"[A-Z] − [A-Z]|[\W\d_]*")


def all_texts() -> Iterator[tuple[str, Pair]]:
    ours = (*build._WORDED, mishaps, values, *build.TABS)
    for source in (*(part.TEXTS for part in ours), STATUS, WORDS, frame.GRADIO):
        yield from source.items()


def test_every_text_is_there_in_both_languages() -> None:
    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    wrong = [
        f"{key}: {english!r} / {chinese!r}"
        for key, (english, chinese) in all_texts()
        if fields(english) != fields(chinese)
        or HAN.search(english)
        or not (HAN.search(chinese) or SAME_IN_BOTH.fullmatch(english))
    ]
    demand("Each text in English and in Chinese, with the same {fields}:", wrong)


# Where it stands


def test_a_port_in_use_gives_the_next_one_or_a_sentence() -> None:
    with closing(listen("127.0.0.1", 20_000 + os.getpid() % 20_000, exactly=False)) as first:
        port = first.getsockname()[1]
        with closing(listen("127.0.0.1", port, exactly=False)) as second:
            assert port < second.getsockname()[1] <= port + 50
        with pytest.raises(ConfigError, match=rf"port {port} is in use.*--port \d+"):
            listen("127.0.0.1", port, exactly=True)
    with pytest.raises(ConfigError, match="no address of this machine"):
        listen("no.such.host.invalid", 7860, exactly=False)


def test_a_folder_belongs_to_one_app(tmp_path: Path) -> None:
    mark = own_folder(tmp_path / "app")
    assert mark is not None
    assert own_folder(tmp_path / "app") is None
    assert (tmp_path / "app").stat().st_mode & 0o077 == 0
    mark.close()
    again = own_folder(tmp_path / "app")
    assert again is not None
    again.close()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--folder"):
        own_folder(tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--auth", "anna"], {}, "NAME:PASSWORD"),
        (["--auth", "anna:x", "--no-auth"], {}, "give one of them"),
        ([], {"GRADIO_SERVER_PORT": "many"}, "GRADIO_SERVER_PORT: 'many'"),
        (["--config", "nothing-like-it"], {}, "nothing-like-it"),
    ],
)
def test_wrong_options_are_sentences(arguments: list[str], environment: dict[str, str], words: str) -> None:
    result = CliRunner(env=environment).invoke(command.app, arguments)
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)


def test_strangers_are_asked_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    ask = {"port": None, "auth": None, "lan": False, "share": False, "open_to_all": False}
    alone = command._doors(**ask)
    assert (alone.host, alone.port, alone.auth) == ("127.0.0.1", 7860, None)
    for told in ({"lan": True}, {"share": True}):
        doors = command._doors(**(ask | told))
        assert doors.auth is not None
        assert len(doors.auth[1]) >= 12
    assert command._doors(**(ask | {"lan": True, "open_to_all": True})).auth is None
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    hosted = command._doors(**ask)
    assert (hosted.host, hosted.port, hosted.exactly) == ("0.0.0.0", 7861, True)


def test_a_spaces_visitor_is_who_its_proxies_say_and_not_what_the_visitor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "somebody/talk")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")  # and afterwards it is as it was
    with pytest.raises(SystemExit):
        command.main(["--help"])
    seen = []

    async def behind(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(address_of(Request(scope)))

    proxied: Any = ProxyHeadersMiddleware(behind, os.environ["FORWARDED_ALLOW_IPS"])

    def ask(peer: str, told: str) -> None:
        headers = [(b"x-forwarded-for", told.encode())]
        asyncio.run(proxied({"type": "http", "client": (peer, 9), "headers": headers}, None, None))

    for told in ("203.0.113.7", "192.0.2.1, 203.0.113.7", "10.0.0.9, 192.0.2.1,203.0.113.7, 10.16.3.4"):
        ask("10.16.1.2", told)
    ask("198.51.100.9", "192.0.2.1")
    assert seen == ["203.0.113.7"] * 3 + ["198.51.100.9"]


def test_others_are_told_an_address_that_they_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [address for address in outer_addresses() if address.startswith(("127.", "0."))]
    monkeypatch.setattr(command, "outer_addresses", lambda: ["10.1.2.3"])
    for host, told in ((command.EVERYWHERE, True), (command.LOCAL, False)):
        doors = command.Doors(host=host, port=7861, exactly=True, auth=None, share=False)
        lines = " ".join(command._addresses(doors))
        assert "http://127.0.0.1:7861" in lines
        assert ("http://10.1.2.3:7861" in lines) is told


# Waking up and leaving


def test_the_page_wakes_up_with_the_engine() -> None:
    inside = fastapi.FastAPI()
    inside.get("/")(lambda: "open")
    inside.get("/live")(lambda: "live")
    ready = threading.Event()

    def open_house() -> House:
        assert ready.wait(30)
        return House(None, inside)  # type: ignore[arg-type]

    lobby = Lobby(open_house, lambda: None)
    with serve(lobby) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:  # type: ignore[arg-type]
        waking = web.get("/")
        assert waking.status_code == 503
        assert waking.headers["retry-after"]
        assert "waking up" in waking.text
        assert "正在启动" in waking.text
        assert web.get("/live").status_code == 200
        assert web.get("/ready").status_code == 503
        ready.set()
        wait_until(lambda: web.get("/").status_code == 200, 30)
        assert web.get("/").json() == "open"


def test_an_engine_that_cannot_start_ends_the_app() -> None:
    given_up = threading.Event()

    def open_house() -> House:
        raise CheckpointError("no weights today")

    lobby = Lobby(open_house, given_up.set)
    with serve(lobby):  # type: ignore[arg-type]
        wait_until(given_up.is_set, 30)
    assert isinstance(lobby.failure, CheckpointError)


def machine_is_slower_by() -> float:
    """How long work takes here for each second of it that the machine does: 1 where nobody else wants it."""
    began_s, done_s = time.monotonic(), time.process_time()
    while time.process_time() - done_s < WORK_S:
        pass
    return (time.monotonic() - began_s) / WORK_S


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """The real app, from another folder than its own: it writes to its folder only, and leaves nobody behind."""
    port = free_port()
    line = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
    with subprocess.Popen(
        line,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=hear_ctrl_c,  # noqa: PLW1509  nothing else happens there
    ) as running:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as web:
            wait_until(lambda: answers(web) == 200 or running.poll() is not None, START_S)
            assert web.get("/live").text == "live"
            family = psutil.Process(running.pid).children(recursive=True)
            assert family
            refused = subprocess.run(line, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert refused.returncode == 2
            assert re.search(rf"port {port} is in use.*--port \d+", refused.stderr)
            with web.stream("GET", "/gradio_api/heartbeat/abc") as held, socket.create_connection(("127.0.0.1", port)):
                assert held.status_code == 200
                slower, began_s = machine_is_slower_by(), time.monotonic()
                running.send_signal(signal.SIGINT)
                running.wait(60)
                took_s, slower = time.monotonic() - began_s, max(slower, machine_is_slower_by())
        assert running.stdout is not None
        said = running.stdout.read()
    assert took_s <= END_S * slower, f"{took_s:.1f} s on a machine {slower:.1f} times slower than usual"
    assert running.returncode == 130, said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=END_S * slower)
    assert not alive
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / UiConfig.folder).stat().st_mode & 0o077 == 0


def hear_ctrl_c() -> None:
    """Tests that run in the background ignore Ctrl-C, and a child would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def answers(web: httpx.Client) -> int:
    try:
        return web.get("/ready").status_code
    except httpx.TransportError:
        return 0


# Who may come in


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with page(tmp_path_factory.mktemp("locked"), auth=(NAME, PASSWORD)) as opened:
        yield opened


def every_route(app: fastapi.FastAPI) -> set[tuple[str, str]]:
    """(method, path) of all that the app and Gradio's app inside it answer."""
    found: set[tuple[str, str]] = set()

    def walk(routes: Sequence[object]) -> None:
        for route in routes:
            inside = getattr(route, "original_router", route)
            walk(getattr(inside, "routes", None) or ())
            for method in getattr(route, "methods", None) or ():
                found.add((method, re.sub(r"\{[^}]*\}", "x", getattr(route, "path", ""))))

    walk(app.routes)
    return {(method, path) for method, path in found if method in ("GET", "POST")}


def test_without_the_password_only_what_was_decided_is_open(locked: Opened) -> None:
    assert set(_OPEN) == OPEN
    assert set(_OPEN_FOLDERS) == OPEN_FOLDERS
    with httpx.Client(base_url=locked.address) as web:
        wrong = []
        for method, path in sorted(every_route(locked.app)):
            status = web.request(method, path).status_code
            if status != 401 and path not in OPEN and not path.startswith(tuple(OPEN_FOLDERS)):
                wrong.append(f"{method} {path}: {status}")
        demand("Routes that answer without a password:", wrong)
        assert len(every_route(locked.app)) > 40
        first = web.get("/").text
    assert "auth_required" in first
    assert "elem_id" not in first


def test_the_password_opens_everything(locked: Opened) -> None:
    with httpx.Client(base_url=locked.address) as web:
        assert web.post("/login", data={"username": NAME, "password": "a guess"}).status_code == 400
        assert web.get("/metrics").status_code == 401
        web.post("/login", data={"username": NAME, "password": PASSWORD}).raise_for_status()
        # The cookie that is not for https only: what a browser sends over plain http.
        cookie = "; ".join(f"{one.name}={one.value}" for one in web.cookies.jar if "unsecure" in one.name)
        headers = {"cookie": cookie}
        for path in ("/metrics", "/ft/house", "/config"):
            assert httpx.get(locked.address + path, headers=headers).status_code == 200
    basic = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    assert httpx.get(f"{locked.address}/metrics", headers={"authorization": f"Basic {basic}"}).status_code == 200
    wrong = base64.b64encode(b"anna:guess").decode()
    assert httpx.get(f"{locked.address}/metrics", headers={"authorization": f"Basic {wrong}"}).status_code == 401
    assert asyncio.run(socket_opens(locked.address, {})) is False
    assert asyncio.run(socket_opens(locked.address, headers)) is True


async def socket_opens(address: str, headers: dict[str, str]) -> bool:
    try:
        async with websockets.connect(f"ws{address[4:]}/live/socket", additional_headers=headers):
            return True
    except websockets.InvalidStatus as error:
        return error.response.status_code != 403


def test_programs_find_one_endpoint_for_each_thing_to_do(locked: Opened) -> None:
    remote = Remote(locked.address, auth=(NAME, PASSWORD), verbose=False)
    try:
        named = remote.view_api(return_format="dict")["named_endpoints"]
    finally:
        remote.close()
    assert set(named) == ENDPOINTS
    unclear = [
        f"{name}: {parameter['parameter_name']}"
        for name, about in named.items()
        for parameter in about["parameters"]
        if not parameter["label"] or parameter["parameter_name"].startswith("param_")
    ]
    demand("Parameters with a name and a label:", unclear)
    assert all(len(about.get("description", "")) > 30 for about in named.values())


# What is kept, and for how long


def test_a_clock_that_is_set_ahead_removes_no_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, later_s = tmp_path / ("a" * 64), time.time() + 8 * 86400
    upload.mkdir()
    cleaner = Cleaner([Rule(tmp_path, 900)])
    monkeypatch.setattr(time, "time", lambda: later_s)
    cleaner.sweep()
    assert upload.exists()


def test_uploads_and_films_go_when_they_are_old(tmp_path: Path) -> None:
    ages, now_s = DoorConfig(), time.time()
    cache, films = tmp_path / "cache", tmp_path / "films"
    for folder in (cache / ("a" * 64), films / ("b" * 32), cache / "not-ours"):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
    (cache / "tmpbroken").write_bytes(b"half an upload")
    for copied in (cache / ("a" * 64) / "file", cache / ("a" * 64)):
        os.utime(copied, (0, 0))

    def left(age_s: float) -> set[str]:
        rules = (Rule(cache, ages.upload_age_s), Rule(films, ages.output_age_s), Rule(tmp_path / "none", 1))
        Cleaner(rules, lambda changed_s: now_s + age_s - changed_s).sweep()
        return {path.name[0] for folder in (cache, films) for path in folder.iterdir()}

    assert ages.upload_age_s == 15 * 60
    assert left(ages.upload_age_s - 5) == {"a", "b", "n", "t"}
    assert left(ages.upload_age_s + 5) == {"b", "n"}
    assert left(ages.output_age_s - 5) == {"b", "n"}
    assert left(ages.output_age_s + 5) == {"n"}


def test_films_say_that_they_are_made() -> None:
    assert UiConfig().label_default
    assert LiveConfig().label


def test_the_house_is_told_as_it_is() -> None:
    def state(**changes: object) -> object:
        status = {"ready": True, "state": "ready", "seats_used": 1, "seats_free": 3, "queue_length": 0}
        return house.standing(ServiceStatus(**(status | {"restarts": 0, "generation": 1} | changes)))["state"]  # type: ignore[arg-type]

    assert state() == "ready"
    assert state(ready=False, state="recovering") == "waking"
    assert state(seats_free=0, queue_length=2) == "full"


# Hosts


def test_a_space_finds_what_it_needs() -> None:
    head = (ROOT / "README.md").read_text(encoding="utf-8").split("---")[1]
    about = yaml.safe_load(head)
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.M))
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert about["sdk"] == "gradio"
    assert about["sdk_version"] == pins["gradio"]
    assert (ROOT / about["app_file"]).is_file()
    assert {about["colorFrom"], about["colorTo"]} <= colours
    assert len(about["short_description"]) <= 60
    assert about["python_version"] in ("3.11", "3.12", "3.13")
    assert (ROOT / "packages.txt").read_text().split() == ["espeak-ng"]
    assert (ROOT / "configs" / "serve" / f"{DEFAULT_SERVE_CONFIG}.yaml").is_file()


@pytest.mark.parametrize(
    ("behind", "device"),
    [
        ("", "cuda"),
        ("--auth anna:secret", "cuda"),
        ("--config h200x1 --set checkpoint.source=/data/weights", "cuda"),
        ("--set runtime.device=cpu", "cpu"),
    ],
)
def test_the_image_serves_on_the_gpu_unless_a_later_setting_says_otherwise(behind: str, device: str) -> None:
    """What stands behind the image's name takes CMD's place, never ENTRYPOINT's."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = {name: json.loads(rest) for name, _, rest in (line.partition(" ") for line in lines) if "[" in rest[:1]}
    given = [*words["ENTRYPOINT"], *(behind.split() or words.get("CMD", []))][2:]
    chosen = typer.main.get_command(command.app).make_context("app.py", given).params
    assert read_config(chosen["config"], chosen["settings"] or []).runtime.device == device
