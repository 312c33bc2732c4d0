"""What stays shut: Gradio's routes that nobody needs, addresses instead of files, other browsers' sessions, other
sites, and the disk when it is nearly full. Behind them: a plain app that notes what came through, and Gradio.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi
import gradio as gr
import httpx
import pytest

from flashtalk.ui.arrivals import Arrivals
from flashtalk.ui.browsers import Browsers
from flashtalk.ui.endpoints import Endpoints
from flashtalk.ui.guard import Guard, Login
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.owners import Owners
from flashtalk.ui.shutters import Shutters
from flashtalk.ui.tokens import Tokens
from tests.ui.live_kit import serve
from tests.ui.test_chinese import HAN

BROWSERS = Browsers(Tokens(b"secret"))
SESSION, INSIDE = "abcdefghij", "what nobody may read"
PROGRESS = f"/gradio_api/upload_progress?upload_id={'a' * 64}"
NAMES = ("jobs/x/job.json", "films/x/film.mp4", "secret", "lock")


class Behind:
    """Answers everything with 200 and remembers it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await fastapi.Response("came through")(scope, receive, send)


def ask(behind: Behind, method: str, path: str, folder: Path, free_bytes: int = 0, **more: Any) -> httpx.Response:
    return asyncio.run(_ask(shut(behind, folder, free_bytes), method, path, **more))


def shut(behind: Behind, folder: Path, free_bytes: int = 0) -> Shutters:
    """What lies in folder/shipped is everybody's."""
    owners = Owners(folder / "brought", BROWSERS, [folder / "shipped"])
    return Shutters(behind, BROWSERS, owners, _endpoints(), below="/talk", free_bytes=free_bytes)


@functools.cache
def _endpoints() -> Endpoints:
    """Made once: Gradio takes a tenth of a second for it."""
    with gr.Blocks(analytics_enabled=False) as blocks:
        for name in ("make_film", "x"):
            gr.Button().click(lambda: None, api_name=name)
    return Endpoints(blocks)


def shipped(folder: Path) -> str:
    """A file that is everybody's."""
    path = folder / "shipped" / "a.png"
    path.parent.mkdir(exist_ok=True)
    path.write_text("a picture")
    return str(path)


async def _ask(shutters: Shutters | Guard, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(shutters)
    async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
        return await web.request(method, path, **more)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/gradio_api/file=http://169.254.169.254/latest",
            "/gradio_api/file=//HTTPS://[::1]/",
            "/gradio_api/file=ftp:a",
        ),
        *("/gradio_api/file=%68ttp://a/", "/gradio_api/file/http://a/", "/gradio_api/file=file:///etc/passwd"),
        *("/gradio_api/proxy=https://a/", "/gradio_api/process_recording", "/gradio_api/component_server"),
        *(f"/gradio_api/{route}?upload_id={'a' * 65}" for route in ("upload", "upload_progress")),
        *("/gradio_api/vibe-edit/", "/gradio_api/undo-vibe-edit", "/monitoring/summary", "/gradio_api/dev/reload"),
    ],
)
def test_what_nobody_needs_is_not_there(path: str, tmp_path: Path) -> None:
    behind = Behind()
    for method in ("GET", "POST"):
        assert ask(behind, method, path, tmp_path).status_code == 404
    assert behind.bodies == []


@pytest.mark.parametrize("name", ["a" * 256, "%E4" * 200, "%F0%9F%97%A3" * 64], ids=["letters", "no text", "faces"])
def test_a_name_that_no_disk_knows_is_not_there(name: str, tmp_path: Path) -> None:
    behind = Behind()
    for folder in ("ft/public/static", "assets", "static", "gradio_api/file=/tmp", "gradio_api/heartbeat"):
        assert ask(behind, "GET", f"/{folder}/{name}", tmp_path).status_code == 404
    assert behind.bodies == []


def test_what_the_page_needs_is(tmp_path: Path) -> None:
    for path in ("/", f"/gradio_api/file={shipped(tmp_path)}", "/config", "/talk/talk/config", PROGRESS):
        assert ask(Behind(), "GET", path, tmp_path).text == "came through"


def test_an_svg_is_told_what_it_is(tmp_path: Path) -> None:
    """Pages name one by its content."""
    file = {"path": shipped(tmp_path), "url": "data:image/svg+xml,%3Csvg%3E", "meta": {"_type": "gradio.FileData"}}
    answer = ask(Behind(), "POST", "/gradio_api/run/predict", tmp_path, json={"data": [file]})
    assert answer.status_code == 422
    assert "SVG, which is not supported" in answer.text


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1/a.png", "https://[::1]/a.m3u8", "HTTP://2130706433/", "data://x"]
)
@pytest.mark.parametrize("more", [{}, {"is_stream": True}, {"is_stream": "false"}, {"is_stream": 0.0}])
@pytest.mark.parametrize("route", ["/gradio_api/queue/join", "/gradio_api/call/make_film", "/gradio_api/run/x"])
def test_a_file_is_never_named_by_its_address(route: str, address: str, more: dict[str, Any], tmp_path: Path) -> None:
    behind, meta, ours = Behind(), {"_type": "gradio.FileData"}, shipped(tmp_path)
    for file in (
        {"path": address, "url": "http://talk/x"},
        {"path": None, "url": address},
        {"url": address},
        {"path": ours, "url": " DATA:image/png;base64,aaaa"},
    ):
        tree = {"data": ["text with https://in.it", [file | {"meta": meta} | more]]}
        answer = ask(behind, "POST", route, tmp_path, content=json.dumps(tree).replace("/", "\\u002f"))
        assert (answer.status_code, behind.bodies) == (422, []), file
    tree["data"][1] = {"path": ours, "url": "http://talk/x", "meta": meta} | more
    assert ask(behind, "POST", route, tmp_path, json=tree).status_code == 200
    assert json.loads(behind.bodies[0]) == tree


def test_requests_that_another_site_sends_are_refused_and_programs_are_not(tmp_path: Path) -> None:
    """ "same-site" is another port of this machine; over plain http there is only the origin."""
    sites = [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
    origins = [
        ("http://evil", 403),
        ("http://talk:81", 403),
        ("null", 403),
        ("http://[", 403),
        ("http://talk", 200),
        ("http://a.talk", 403),
    ]
    told = [({"sec-fetch-site": site, "origin": "https://behind.a.proxy"}, status) for site, status in sites]
    told += [({"origin": origin}, status) for origin, status in origins]
    told += [({}, 200), ({"origin": "https://a.name", "x-forwarded-host": "a.name"}, 200)]
    for headers, status in told:
        for method in ("POST", "OPTIONS"):  # browsers ask with the second whether the first may be sent
            assert ask(Behind(), method, "/ft/jobs/visitor", tmp_path, headers=headers).status_code == status
        assert ask(Behind(), "GET", "/", tmp_path, headers=headers).status_code == 200


def test_no_other_site_logs_a_visitor_out(tmp_path: Path) -> None:
    """A picture there with that address would; over plain http there is only where the page was, if that is told."""
    tells: list[tuple[dict[str, str], int]] = [
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "referer": "http://talk/"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"referer": "http://evil.example/page?a=http://talk/"}, 403),
        ({"referer": "http://talk.evil.example/"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ({"referer": "http://talk/?lang=zh"}, 200),
        ({"referer": "https://a.name/talk/", "x-forwarded-host": "a.name"}, 200),
        ({}, 200),
    ]
    shutters = shut(Behind(), tmp_path)
    for headers, status in tells:
        for path in ("/logout", "/talk/logout", "/talk/talk/logout"):
            answer = asyncio.run(_ask(shutters, "GET", path, headers=headers))
            assert (answer.status_code, "Another site" in answer.text) == (status, status == 403), (headers, path)
        assert asyncio.run(_ask(shutters, "GET", "/", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "sites"),
    [({}, "SameSite=Lax"), ({"x-forwarded-proto": "https"}, "SameSite=None; Secure; Partitioned")],
)
def test_over_https_the_browser_is_known_inside_another_sites_page_too(
    headers: dict[str, str], sites: str, tmp_path: Path
) -> None:
    assert ask(Behind(), "GET", "/", tmp_path, headers=headers).headers["set-cookie"].endswith(f"HttpOnly; {sites}")


def test_a_browser_that_comes_again_stays_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a cookie lasts, under the same name; and not every page brings one."""
    now_s = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now_s[0])
    page = ask(Behind(), "GET", "/", tmp_path)
    cookie, names, brought = "", [], 0
    for _ in range(20):
        cookie = page.cookies.get(BROWSERS.cookie) or cookie
        names.append(Tokens(b"secret").check(cookie, "browser"))
        now_s[0] += 30 * 86400
        page = ask(Behind(), "GET", "/", tmp_path, headers={"cookie": f"{BROWSERS.cookie}={cookie}"})
        brought += "set-cookie" in page.headers
    assert (len(set(names)), brought in (2, 3)) == (1, True)


def test_another_browsers_session_is_nobodys(tmp_path: Path) -> None:
    async def both() -> None:
        shutters = shut(Behind(), tmp_path)
        page = await _ask(shutters, "GET", "/")
        cookie = page.cookies[BROWSERS.cookie]
        assert "HttpOnly" in page.headers["set-cookie"]
        browser = Tokens(b"secret").check(cookie, "browser")
        shutters._sessions._known[SESSION] = (browser, -1000.0)
        tree = {"session_hash": SESSION, "data": []}
        for held, status in ((cookie, 200), (BROWSERS.new(), 404), (browser, 404), ("", 404)):
            headers = {"cookie": f"{BROWSERS.cookie}={held}"} if held else {}
            for path in (
                f"/gradio_api/stream/{SESSION}/run/1/playlist.m3u8",
                f"/gradio_api/queue/data?session_hash={SESSION}",
            ):
                assert (await _ask(shutters, "GET", path, headers=headers)).status_code == status
            for path in ("/gradio_api/cancel", "/gradio_api/queue/join"):
                assert (await _ask(shutters, "POST", path, headers=headers, json=tree)).status_code == status

    asyncio.run(both())


def test_uploads_leave_room_on_the_disk(tmp_path: Path) -> None:
    path, data = "/gradio_api/upload", b"x" * 1000
    assert ask(Behind(), "POST", path, tmp_path, content=data).status_code == 200
    refused = ask(Behind(), "POST", path, tmp_path, free_bytes=1 << 60, content=data)
    assert (refused.status_code, refused.json()["error"][-1]) == (507, ".")

    async def parts() -> Any:
        yield data

    assert ask(Behind(), "POST", path, tmp_path, content=parts()).status_code == 411
    lies = {"content-length": "10", "transfer-encoding": "chunked"}
    assert ask(Behind(), "POST", path, tmp_path, content=data, headers=lies).status_code == 411


@pytest.mark.parametrize("path", ["/ft/jobs/x/again", "/login", *(f"/gradio_api/{one}" for one in ("call/x", "reset"))])
def test_a_request_is_as_long_as_a_page_makes_it_and_holds_nobody_up(path: str, tmp_path: Path) -> None:
    """Whatever is no upload comes into memory, and reading many small values takes seconds in which all others wait."""
    many, behind = b"[" + b"[]," * 10_000 + b"[]]", Behind()
    for long in (b" " * 300_000, many, many.decode().encode("utf-16")):

        async def parts(whole: bytes = long) -> Any:
            for start in range(0, len(whole), 1000):
                yield whole[start : start + 1000]

        for content in (long, parts()):
            answer = ask(behind, "POST", path, tmp_path, content=content)
            assert (answer.status_code, answer.json()["error"][-1]) == (413, ".")
    assert behind.bodies == []
    assert ask(behind, "POST", "/gradio_api/call/x", tmp_path, content=b"[" * 4000).status_code == 400


@pytest.mark.parametrize(
    "route", ["queue/join", "call/x", "call/v2/x", "run/x", "api/x", "cancel", "reset", "stream/x"]
)
@pytest.mark.parametrize("half", [b'"\\ud800"', b'{"fn_index": "\\udfff"}', b'{"\\ud83d": 1}', b'"\xed\xa0\x80"'])
def test_half_a_character_is_told(route: str, half: bytes, tmp_path: Path) -> None:
    behind = Behind()
    answer = ask(behind, "POST", f"/gradio_api/{route}", tmp_path, content=half)
    assert (answer.status_code, answer.json()["error"][-1], behind.bodies) == (400, ".", [])


def test_who_names_a_file_that_is_not_theirs_is_told_the_same_whether_it_is_there_or_not(tmp_path: Path) -> None:
    behind, outside = Behind(), tmp_path / "outside.png"
    outside.write_text(INSIDE)
    ours = Path(shipped(tmp_path))
    (ours.parent / "link.png").symlink_to(outside)
    paths = [
        *("/etc/passwd", "/etc/nothing", "/dev/zero", "/proc/self/fd/0", "/proc/self/environ", "/", str(outside)),
        *("", ".", "..", "\0", "a\0b", "app.py", "~/x", f"{ours}/../../outside.png", f"{ours}\0"),
        *(str(ours.parent), str(ours.parent / "link.png"), str(tmp_path / "brought"), "x" * 300, "data:image/png,a"),
    ]
    routes = ["queue/join", "call/make_film", "call/v2/make_film", "api/make_film", "run/make_film", "stream/a"]
    told = set()
    for place, (before, route) in enumerate(product(("", "/talk", "/talk/talk"), routes)):
        for path in paths[place % 5 :: 5] if place else paths:
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            tree = {"data": [{"value": [file]}], "portrait": file}
            answer = ask(behind, "POST", f"{before}/gradio_api/{route}", tmp_path, content=json.dumps(tree))
            told.add((answer.status_code, answer.text))
    assert (len(told), told.pop()[0], behind.bodies) == (1, 404, [])


def test_uploads_are_no_longer_than_allowed_and_one_address_has_few_under_way(tmp_path: Path) -> None:
    async def law() -> None:
        ended = asyncio.Event()

        async def behind(scope: Any, receive: Any, send: Any) -> None:
            await ended.wait()
            await fastapi.Response("came through")(scope, receive, send)

        shutters = Shutters(
            behind, BROWSERS, Owners(tmp_path, BROWSERS), Endpoints(gr.Blocks()), free_bytes=0, most_bytes=100_000
        )
        assert (await _bring(shutters, "a", 1 << 20)).status_code == 413
        slow = [asyncio.create_task(_bring(shutters, "a", 150_000)) for _ in range(4)]
        await asyncio.sleep(0.1)
        refused = await _bring(shutters, "a", 150_000)
        assert (refused.status_code, refused.json()["error"][-1]) == (429, ".")
        other = asyncio.create_task(_bring(shutters, "b", 150_000))
        await asyncio.sleep(0.1)
        ended.set()
        assert [(await one).status_code for one in (*slow, other)] == [200] * 5
        assert not shutters._arrivals.to_come

    asyncio.run(law())


@pytest.mark.parametrize("ends", ["well", "broken off"])
@pytest.mark.parametrize(("times", "body"), [(4, b"x" * 150_000), (1, b";FileName=a" * 8192)], ids=["bytes", "files"])
def test_an_address_brings_so_much_while_uploads_are_kept_and_others_may_all_the_same(
    times: int, body: bytes, ends: str, tmp_path: Path
) -> None:
    """What breaks off lies on the disk as long as what is whole."""

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await fastapi.responses.JSONResponse(["/a/1"])(scope, receive, send)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 999):
            yield body[start : start + 999]
        if ends == "broken off":
            raise BrokenPipeError

    async def bring(address: str) -> int:
        transport = httpx.ASGITransport(shutters, client=(address, 1))
        headers = {"content-length": str(len(body))}
        async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
            with contextlib.suppress(BrokenPipeError):
                return (await web.post("/gradio_api/upload", content=parts(), headers=headers)).status_code
        return 0

    async def law() -> None:
        taken = 200 if ends == "well" else 0
        for _ in range(times):
            assert await bring("a") == taken
        assert await bring("a") == 429
        for other in ("b", *["127.0.0.1"] * (times + 1)):
            assert await bring(other) == taken
        assert not shutters._arrivals.to_come

    shutters = Shutters(
        behind, BROWSERS, Owners(tmp_path, BROWSERS), Endpoints(gr.Blocks()), free_bytes=0, most_bytes=100_000
    )
    asyncio.run(law())


def test_what_came_long_ago_does_not_count() -> None:
    now_s = [0.0]
    arrivals = Arrivals(100, 10.0, lambda: now_s[0])
    arrivals.add("a", 60, 1)
    assert [arrivals.are_too_many("a", size) for size in (40, 41)] == [False, True]
    now_s[0] = 11.0
    assert not arrivals.are_too_many("a", 100)
    assert not arrivals._came


async def _bring(shutters: Shutters, address: str, size: int) -> httpx.Response:
    transport = httpx.ASGITransport(shutters, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://talk") as web:
        return await web.post("/gradio_api/upload", content=b"x" * size)


def test_the_door_answers_a_chinese_browser_in_chinese(tmp_path: Path) -> None:
    login = Login(SimpleNamespace(cookie_id="x", tokens={"here": "anna"}), ("anna", "a secret"))  # type: ignore[arg-type]
    door, inside = Guard(shut(Behind(), tmp_path), RateLimit(3), login), {"cookie": "access-token-x=here"}
    upload, join, long = "/gradio_api/upload", "/gradio_api/queue/join", str(1 << 60)
    wants: list[tuple[int, str, str, dict[str, Any]]] = [
        (401, "GET", "/config", {"headers": {}}),
        (404, "GET", "/monitoring", {"headers": inside}),
        (404, "GET", "/gradio_api/queue/data?session_hash=" + "a" * 200, {"headers": inside}),
        (403, "POST", "/gradio_api/reset", {"headers": inside | {"sec-fetch-site": "cross-site"}}),
        (400, "POST", "/gradio_api/reset", {"headers": inside, "content": b"{"}),
        (413, "POST", upload, {"headers": inside | {"content-length": long}, "content": b""}),
        (404, "POST", join, {"headers": inside, "json": {"fn_index": 99}}),
        (413, "POST", "/login", {"headers": {}, "content": b"a" * 5000}),
        (429, "POST", join, {"headers": inside, "json": {}}),
    ]
    for status, method, path, more in wants:
        more["headers"] |= {"accept-language": "zh-CN,zh;q=0.9,en;q=0.5"}
        refusal = asyncio.run(_ask(door, method, path, **more))
        assert (refusal.status_code, HAN.search(refusal.json()["error"]) is not None) == (status, True), refusal.text
    old = {"headers": inside | {"accept-language": "zh"}}
    assert HAN.search(asyncio.run(_ask(door, "GET", "/gradio_api/queue/data?session_hash=a", **old)).text)


@pytest.mark.parametrize("path", ["upload", "call/size"])
def test_who_sends_too_slowly_is_not_waited_for(path: str, tmp_path: Path) -> None:
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Textbox()
    app = gr.mount_gradio_app(fastapi.FastAPI(), blocks, "/", ssr_mode=False, run_history=False)
    app.add_middleware(
        Shutters,
        browsers=BROWSERS,
        owners=Owners(tmp_path, BROWSERS),
        endpoints=Endpoints(blocks),
        free_bytes=0,
        patience_s=0.2,
    )
    kind = "multipart/form-data; boundary=b" if path == "upload" else "application/json"
    tells = f"host: a\r\naccept-language: zh\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: 99"
    head = f"POST /gradio_api/{path} HTTP/1.1\r\n{tells}\r\n\r\n--b"
    with serve(app) as port, socket.create_connection(("127.0.0.1", port), 10) as slow:
        slow.sendall(head.encode())
        answer = b"".join(iter(lambda: slow.recv(1000), b"")).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert HAN.search(answer)


@pytest.fixture(scope="module")
def gradio_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """Gradio as ui/build.py mounts it, with a folder that holds secrets."""
    folder = tmp_path_factory.mktemp("app")
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(INSIDE)
    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Textbox()
    private = [str(folder / name.partition("/")[0]) for name in NAMES]
    app = gr.mount_gradio_app(
        fastapi.FastAPI(), blocks, "/", allowed_paths=[], blocked_paths=private, ssr_mode=False, run_history=False
    )
    app.add_middleware(
        Shutters, browsers=BROWSERS, owners=Owners(folder / "cache", BROWSERS), endpoints=Endpoints(blocks)
    )
    with serve(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        yield web, folder


def test_no_way_of_writing_a_path_reaches_a_file(gradio_app: tuple[httpx.Client, Path]) -> None:
    web, folder = gradio_app
    (folder / "link").symlink_to("/etc/passwd")
    here = Path(__file__).resolve()
    wanted = [
        *(str(folder / name) for name in NAMES),
        "/etc/passwd",
        "/proc/self/environ",
        str(here),
        str(folder / "link"),
    ]
    wanted += ["assets/checkpoints/small", "app.py", "../app.py", str(here.parents[2] / "configs/serve/cpu.yaml")]
    answers = set()
    for path in wanted:
        for way in (
            *(path, path.upper(), "/" + path, "." + path, path + "/", path + "%00", path + "%00.png"),
            *(path.replace("/", "%2f"), path.replace("/", "%252f"), path.replace("/", "\\"), "static/.." + path),
            *("..%2f..%2f.." + path, path.replace("/", "//"), path.replace("/", "/./"), "file://" + path),
        ):
            for route in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/"):
                answer = web.get(route + way)
                answers.add(answer.status_code)
                assert INSIDE not in answer.text, route + way
                assert "root:" not in answer.text, route + way
    assert answers <= {400, 403, 404, 405}
    there = web.get(f"/gradio_api/file={folder}/secret")
    not_there = web.get(f"/gradio_api/file={folder}/nothing")
    assert (there.status_code, there.text) == (not_there.status_code, not_there.text)


@pytest.fixture
def uploads_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Path]]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "brought"))
    folder = Path(gr.utils.get_upload_folder())
    with gr.Blocks(analytics_enabled=False) as blocks:
        taken, size = gr.File(), gr.Number()
        gr.Button().click(lambda path: Path(path).stat().st_size, taken, size, api_name="size")
    app = gr.mount_gradio_app(fastapi.FastAPI(), blocks, "/", ssr_mode=False, run_history=False)
    app.add_middleware(
        Shutters, browsers=BROWSERS, owners=Owners(folder, BROWSERS), endpoints=Endpoints(blocks), free_bytes=0
    )
    with serve(app) as port:
        yield port, folder


def test_what_a_browser_brought_is_nobody_elses(uploads_app: tuple[int, Path]) -> None:
    port, folder = uploads_app
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        own, other, nobody = (
            {"cookie": f"{BROWSERS.cookie}={BROWSERS.new()}"},
            {"cookie": f"{BROWSERS.cookie}={BROWSERS.new()}"},
            {},
        )

        def bring(who: dict[str, str], inside: str = INSIDE) -> str:
            files = {"files": ("voice.txt", inside.encode())}
            return str(web.post("/gradio_api/upload", files=files, headers=who).json()[0])

        def uses(who: dict[str, str], path: str, route: str = "call/size", **more: Any) -> int:
            data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}, **more}]}
            return web.post(f"/gradio_api/{route}", json=data, headers=who).status_code

        path = bring(own)
        assert web.get(f"/gradio_api/file={path}", headers=own).text == INSIDE
        assert uses(own, path) == 200
        name = Path(path).relative_to(folder).as_posix()
        link = folder.parent / "link"
        link.symlink_to(folder)
        for way in (
            path,
            "/" + path,
            f"{folder}//{name}",
            f"{folder}/./{name}",
            f"{folder}/x/../{name}",
            f"{link}/{name}",
        ):
            for who in (other, nobody):
                for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/talk/gradio_api/file="):
                    assert INSIDE not in web.get(route + way, headers=who).text, route + way
                assert uses(who, way) == 404, way
                assert uses(who, way, is_stream=True) == 404, way
                assert uses(who, way, route="stream/abc") == 404, way
        assert bring(other) == path, "the same bytes"
        assert web.get(f"/gradio_api/file={path}", headers=other).text == INSIDE
        programs = bring(nobody, "of a program")
        assert {web.get(f"/gradio_api/file={programs}", headers=who).text for who in (own, nobody)} == {"of a program"}


def test_what_nobody_is_known_to_have_brought_is_shut(uploads_app: tuple[int, Path]) -> None:
    """As after a restart: of folders that Gradio or an app before this one made, and files beside them."""
    port, folder = uploads_app
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
        for name in ("a" * 64, "b" * 32, "deep_links", "."):
            path = folder / name / "voice.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(INSIDE)
            for headers in ({}, {"cookie": f"{BROWSERS.cookie}={BROWSERS.new()}"}):
                answer = web.get(f"/gradio_api/file={path}", headers=headers)
                assert (answer.status_code, answer.json()["error"][-1]) == (404, "."), name


def test_calls_that_name_files_without_end_are_refused_at_once(tmp_path: Path) -> None:
    path, began_s = "/gradio_api/call/x", time.monotonic()
    assert ask(Behind(), "POST", path, tmp_path, json={"data": [{"path": "a"}] * 100}).status_code == 413
    assert ask(Behind(), "POST", path, tmp_path, json={"data": [{}] * 1000}).status_code == 200
    assert ask(Behind(), "POST", path, tmp_path, json={"data": [{"path": "/a" * 100_000}]}).status_code == 404
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize("before", ["", "/talk", "/talk/talk"])
def test_below_a_proxys_path_the_same_is_shut(before: str, tmp_path: Path) -> None:
    for path in ("/gradio_api/file=http://a/", "/gradio_api/proxy=https://a/", "/gradio_api/component_server"):
        assert ask(Behind(), "GET", before + path, tmp_path).status_code == 404
    address = {"data": [{"path": "http://a/b"}]}
    assert ask(Behind(), "POST", f"{before}/gradio_api/queue/join", tmp_path, json=address).status_code == 422
    full = ask(Behind(), "POST", f"{before}/gradio_api/upload", tmp_path, free_bytes=1 << 60, content=b"x")
    assert full.status_code == 507
