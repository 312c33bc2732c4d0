"""Who asks, and what is counted and kept for them: a cookie of ours or an address, and nothing that may be made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi.requests import Request
from gradio.context import LocalContext
from starlette.requests import ClientDisconnect

from flashtalk.config_app import JobsConfig, UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import Overloaded
from flashtalk.media.speak import can_speak
from flashtalk.serving.jobs.room import JobRoom
from flashtalk.ui import browsers
from flashtalk.ui.arrivals import Arrivals
from flashtalk.ui.browsers import Asker, Browsers, address_of
from flashtalk.ui.build import make_context
from flashtalk.ui.endpoints import Endpoints
from flashtalk.ui.films import FilmStore
from flashtalk.ui.kept import Kept
from flashtalk.ui.owners import Owners
from flashtalk.ui.shutters import Shutters
from flashtalk.ui.tabs import long_video
from flashtalk.ui.tokens import Tokens, load_tokens
from flashtalk.ui.visits import Visits
from tests.serving.fakes import FakeHouse
from tests.ui.live_kit import wait_until
from tests.ui.page_kit import VOICE, Page, Visitor, busy_page

HOME, OFFICE = "203.0.113.7", "198.51.100.9"
HERE = "127.0.0.1"
BROWSERS = Browsers(Tokens(b"secret"))
CARD = "ft-card-0"


def request(address: str, cookie: str = "", browsers: Browsers = BROWSERS) -> Request:
    headers = [(b"cookie", f"{browsers.cookie}={cookie}".encode())] if cookie else []
    return Request({"type": "http", "headers": headers, "client": (address, 9)})


@contextlib.contextmanager
def asking(address: str, cookie: str = "", browsers: Browsers = BROWSERS) -> Iterator[None]:
    """As Gradio calls a function."""
    token = LocalContext.request.set(gr.Request(request(address, cookie, browsers)))
    try:
        yield
    finally:
        LocalContext.request.reset(token)


def begin(
    visits: Visits, films: contextlib.ExitStack, address: str, cookie: str = "", known: Browsers = BROWSERS
) -> None:
    with asking(address, cookie, known):
        films.enter_context(visits.one_more())


def test_cookies_that_a_program_makes_up_bring_it_nothing() -> None:
    visits = Visits(BROWSERS, per_visitor=3, per_address=99)
    with contextlib.ExitStack() as films:
        for made_up in ("", "a" * 32, "x.y"):
            begin(visits, films, HOME, made_up)
        for made_up in ("", "b" * 32, Browsers(Tokens(b"other")).new(), BROWSERS.new()[:-1]):
            with pytest.raises(Overloaded, match="You have 3 films") as refused:
                begin(visits, films, HOME, made_up)
            assert refused.value.code == "films_enough"
        begin(visits, films, HOME, BROWSERS.new())
        begin(visits, films, OFFICE)
    assert not visits._under_way


def test_an_address_has_an_end_too_but_not_one_that_many_share_unknown() -> None:
    visits = Visits(BROWSERS, per_visitor=3, per_address=4)
    with contextlib.ExitStack() as films:
        for _ in range(4):
            begin(visits, films, HOME, BROWSERS.new())
        for cookie in ("", BROWSERS.new()):
            with pytest.raises(Overloaded, match="Your address has 4 films"):
                begin(visits, films, HOME, cookie)
        for address in (HERE, "::1", "") * 5:
            begin(visits, films, address, BROWSERS.new())
        begin(visits, films, OFFICE)


def test_one_household_is_one_address() -> None:
    near, far = "2001:db8:1:2::5", "2001:db8:1:3::5"
    assert address_of(request(near)) == address_of(request("2001:db8:1:2:ffff::1"))
    assert address_of(request(near)) != address_of(request(far))
    assert [address_of(request(one)) for one in (HOME, "", "a.socket")] == [HOME, "", "a.socket"]


def test_words_for_who_asks_tell_nothing_and_stay(tmp_path: Path) -> None:
    cookie = Browsers(load_tokens(tmp_path)).new()
    told = set[Asker]()
    for _ in range(2):  # as after a restart
        browsers = Browsers(load_tokens(tmp_path))
        with asking(HOME, cookie, browsers):
            told.add(browsers.asker())
    (asker,) = told
    assert asker.visitor != asker.address
    assert HOME not in f"{asker}{cookie}"
    with asking(HERE):
        assert BROWSERS.asker().address == ""
    assert BROWSERS.asker() == Asker()


def test_two_apps_of_one_machine_leave_each_other_their_cookies() -> None:
    """Browsers send both to both, whatever the port."""
    other = Browsers(Tokens(b"other"))
    words = "; ".join(f"{one.cookie}={one.new()}" for one in (BROWSERS, other))
    asked = Request({"type": "http", "headers": [(b"cookie", words.encode())]})
    assert BROWSERS.known(asked)
    assert other.known(asked)
    assert BROWSERS.known(asked) != other.known(asked)


def test_a_page_renews_a_cookie_that_is_not_ours_and_keeps_one_that_is(tmp_path: Path) -> None:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def given(held: str, path: str = "/") -> str:
        shutters = Shutters(behind, BROWSERS, Owners(tmp_path, BROWSERS), Endpoints(gr.Blocks()))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(shutters), base_url="http://talk") as web:
            answer = await web.get(path, headers={"cookie": f"{BROWSERS.cookie}={held}"} if held else {})
            return answer.cookies.get(BROWSERS.cookie, "")

    for held in ("", "a" * 32, Browsers(Tokens(b"before")).new()):
        assert BROWSERS.known(request(HOME, asyncio.run(given(held))))
    assert asyncio.run(given(BROWSERS.new())) == ""
    assert asyncio.run(given("", "/config")) == ""


def test_after_a_restart_uploads_are_nobodys_and_owners_go_with_their_files(tmp_path: Path) -> None:
    cookie = BROWSERS.new()
    browser = BROWSERS.known(request(HOME, cookie))
    owners = Owners(tmp_path, BROWSERS)
    with asking(HOME, cookie):
        folders = [owners.new_folder() for _ in range(3)]
    file = str(folders[0] / "film.mp4")
    Path(file).write_bytes(b"a film")
    assert [owners.may_have(file, one) for one in (browser, "somebody", "")] == [True, False, False]
    assert [Owners(tmp_path, BROWSERS).may_have(file, one) for one in (browser, "somebody", "")] == [False] * 3
    shutil.rmtree(folders[0])
    owners.forget_gone()
    assert len(owners._owners) == 2
    assert not owners.may_have(file, browser)


def test_the_paths_of_an_upload_are_looked_up_while_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners, looked, sent = Owners(tmp_path, BROWSERS), list[threading.Thread](), list[str]()
    monkeypatch.setattr(Owners, "_folder_of", lambda *_: looked.append(threading.current_thread()))

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def answer() -> None:
        noted = owners.noting(send, "anna")
        await noted({"type": "http.response.start", "status": 200})
        await noted({"type": "http.response.body", "body": json.dumps(["/a"] * 9).encode()})

    asyncio.run(answer())
    assert (len(looked), len(sent)) == (9, 2)
    assert threading.current_thread() not in looked


def test_of_who_keeps_too_much_the_oldest_goes_and_others_keep_theirs(tmp_path: Path) -> None:
    """Cookies cost nothing: an address has an end too."""
    kept = Kept(BROWSERS, per_visitor_bytes=25, per_address_bytes=45)

    def made(address: str, cookie: str = "") -> Path:
        with asking(address, cookie):
            folder = kept.new(tmp_path)
        (folder / "film.mp4").write_bytes(b"x" * 10)
        return folder

    def left(folders: list[Path]) -> list[bool]:
        return [folder.exists() for folder in folders]

    other, shared = made(OFFICE), [made(HERE, BROWSERS.new()) for _ in range(6)]
    own = [made(HOME, cookie) for cookie in [BROWSERS.new()] * 4]
    assert left(own) == [False, True, True, True], "two, and the new one"
    others = [made(HOME, BROWSERS.new()) for _ in range(3)]
    assert left(own) == [False, False, True, True]
    assert left([other, *shared, *others]) == [True] * 10
    kept.forget_gone()
    assert set(kept._askers) == {other, *shared, *others, *own[2:]}


def test_films_speech_and_unpacked_projects_are_counted_for_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    settings = UiConfig(folder=str(tmp_path / "app"), made_per_visitor_bytes=9)
    with FakeHouse(load_config("cpu")) as client:
        context = make_context(client, settings)
        store, folders = FilmStore(context), list[Path]()
        for new in (store.new, context.owners.new_folder, store.new):
            with asking(HERE, browsers=context.browsers):
                folders.append(new())
            (folders[-1] / "film.mp4").write_bytes(b"x" * 8)
        assert [folder.exists() for folder in folders] == [False, True, True]
        for folder in folders[1:]:
            shutil.rmtree(folder)
        context.cleaner.sweep()
        assert not context.kept._askers


def test_an_upload_that_breaks_off_counts_and_leaves_no_page_in_the_log() -> None:
    arrivals = Arrivals(1000, 60.0)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 30, "more_body": True}

    async def break_off() -> None:
        with arrivals.one_more(HOME, 100, receive) as counted:
            await counted()
            assert arrivals.to_come[HOME] == 70
            raise ClientDisconnect

    asyncio.run(break_off())
    assert ([*arrivals._came], [*arrivals.to_come]) == ([HOME], [])
    assert [arrivals.are_too_many(HOME, size) for size in (970, 971)] == [False, True]


# Over a page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with busy_page(tmp_path, 0.15) as opened:
        yield opened


def film_of(visitor: Visitor, key: str = "") -> str:
    """Where a film of the named endpoint lies."""
    function = visitor.page.function("make_film")
    said = visitor.call(function, [*visitor.inputs(function)[:-1], key])
    found = re.search(r'"path": "([^"]+film\.mp4)"', said)
    assert found, said
    return found[1]


def test_a_film_and_its_project_are_of_the_browser_that_asked_for_them(page: Page) -> None:
    with page.visitor() as own, page.visitor() as other, page.visitor(cookie=False) as program:
        film = film_of(own, "a-long-key")
        project = film.replace(".mp4", ".flashtalk.json")

        def status(who: Visitor, path: str) -> int:
            return who.web.get(f"/gradio_api/file={path}").status_code

        for path in (film, project):
            assert [status(who, path) for who in (own, other, program)] == [200, 404, 404]
        again = other.call(page.function("repeat_film"), [{"path": project, "meta": {"_type": "gradio.FileData"}}, ""])
        assert "no such file" in again
        assert film_of(other, "a-long-key") == film, "the same files, settings and key"
        assert [status(who, film) for who in (own, other, program)] == [200, 200, 404]
        programs = film_of(program)
        assert [status(who, programs) for who in (own, other, program)] == [200, 200, 200]


def test_all_that_the_page_itself_shows_is_there_for_everybody(page: Page) -> None:
    with page.visitor() as visitor:
        config = visitor.web.get("/config").text
        paths = set(re.findall(r'"path": ?"([^"]+\.(?:png|wav|mp3))"', config))
        shown = [path for path in paths if "://" not in path]
        assert len(shown) > 5
        assert {visitor.web.get(f"/gradio_api/file={path}").status_code for path in shown} == {200}


def test_retries_with_one_key_are_one_film_of_a_visitor(page: Page) -> None:
    with page.visitor() as visitor, ThreadPoolExecutor(5) as pool:
        values = visitor.inputs(page.function("make_film"))
        asked = {"data": [*values[:-1], "a-long-key"]}

        def call(_: int) -> str:
            event = visitor.web.post("/gradio_api/call/make_film", json=asked).json()["event_id"]
            return visitor.web.get(f"/gradio_api/call/make_film/{event}").text

        told = list(pool.map(call, range(5)))
    assert len({re.search(r"[^/\"]+/film\.mp4", said)[0] for said in told}) == 1  # type: ignore[index]


def test_a_visitors_next_film_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    with busy_page(tmp_path, 0.4, films=1) as page, page.visitor() as visitor:
        card = page.function(CARD)
        for _ in range(4):
            visitor.ask(card, visitor.inputs(card)).raise_for_status()
            wait_until(lambda: page.house.status().seats_used == 1, 20)
        said = " ".join(map(str, visitor.told()))
        modes = {page.function(name).trigger_mode for name in ("ft-make", CARD, "open_project")}
        assert modes == {"multiple"}, "the page sends a press while a film is made"
    assert "waiting or being made" not in said
    assert len(set(re.findall(r"ft/films/([^/]+)/film\.mp4", said))) == 1, "those before ended"


@pytest.mark.parametrize("name", ["make_film", "ft-make"])
def test_a_film_is_finished_though_its_files_grew_too_old_meanwhile(page: Page, name: str) -> None:
    with page.visitor() as visitor, ThreadPoolExecutor(1) as pool:
        function = page.function(name)
        values = visitor.inputs(function)
        told = pool.submit(visitor.call, function, values)
        wait_until(lambda: page.house.status().seats_used == 1, 20)
        for value in values[:2]:
            shutil.rmtree(Path(value["path"]).parent)
        for folder in (page.folder / "app/cache").iterdir():
            shutil.rmtree(folder)
        said = told.result(60)
    assert "film.flashtalk.json" in said, said


@pytest.mark.skipif(not can_speak(), reason="needs the program espeak-ng, and it is not installed here")
def test_who_has_much_text_read_out_keeps_nobody_waiting(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, reading, most = threading.Event(), list[str](), list[int]()

    def read(text: str, _: str, path: Path, __: str) -> None:
        reading.append(text)
        most.append(reading.count("long"))
        if text == "long":
            go_on.wait(20)
        shutil.copy(VOICE, path)
        reading.remove(text)

    monkeypatch.setattr("flashtalk.media.speak.speak", read)
    function = page.function("speak")
    with page.visitor() as many, page.visitor() as one:
        for _ in range(4):
            many.ask(function, ["long"]).raise_for_status()
        wait_until(lambda: bool(reading), 20)
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(one.call, function, ["short"])
            try:
                assert "speech.wav" in told.result(10)
            finally:
                go_on.set()
        assert sum("speech.wav" in str(message) for message in many.told()) == 4
    assert max(most) == 1, "of one visitor they are read in turn"


def test_long_films_of_one_visitor_have_an_end_whatever_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobRoom, "_next_job", lambda _room: None)  # all of them wait
    with busy_page(tmp_path) as page, page.visitor(cookie=False) as program, page.visitor() as browser:
        order = page.function("make_long_film")
        told = [program.call(order, [*program.inputs(order)[:-1], f"film-{number}"]) for number in range(6)]
        refused = ["unfinished films, the most allowed" in said for said in told]
        assert refused == [False] * 4 + [True] * 2, told
        assert "unfinished films" not in browser.call(order, browser.inputs(order))


def test_long_films_of_one_address_have_an_end_whoever_orders_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobRoom, "_next_job", lambda _room: None)  # all of them wait
    monkeypatch.setattr(long_video, "JobsConfig", lambda: JobsConfig(per_address=2))
    monkeypatch.setattr(browsers, "address_of", lambda _asked: HOME)
    with busy_page(tmp_path) as page, contextlib.ExitStack() as stack:
        order, told = page.function("make_long_film"), []
        for visitor in [stack.enter_context(page.visitor()) for _ in range(3)]:
            told.append("Your address has 2 unfinished films" in visitor.call(order, visitor.inputs(order)))
    assert told == [False, False, True]


def test_films_are_counted_as_it_is_configured(tmp_path: Path) -> None:
    settings = UiConfig(folder=str(tmp_path), films_per_visitor=2, films_per_address=3)
    with FakeHouse(load_config("cpu")) as client, contextlib.ExitStack() as films:
        context = make_context(client, settings)
        cookies = [context.browsers.new() for _ in range(2)]
        for cookie, most in ((cookies[0], 2), (cookies[1], 1)):
            for _ in range(most):
                begin(context.visits, films, HOME, cookie, context.browsers)
            with pytest.raises(Overloaded):
                begin(context.visits, films, HOME, cookie, context.browsers)
