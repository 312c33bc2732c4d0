"""What the page says of what it keeps is what happens: every file of a visitor's goes at the age that is told."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi
import gradio as gr
import httpx
import numpy as np
import pytest
from fastapi.requests import Request
from fastapi.routing import Mount
from gradio.context import LocalContext
from gradio.route_utils import MediaStream

from app import NEVER
from flashtalk.config_app import DoorConfig, JobsConfig, UiConfig
from flashtalk.config_file import load_config
from flashtalk.media.segments import Segment
from flashtalk.ui import build, cleaning, frame, material, streams
from flashtalk.ui.browsers import Asker, Browsers
from flashtalk.ui.cleaning import Cleaner
from flashtalk.ui.components import SegmentVideo
from flashtalk.ui.context import UiContext
from flashtalk.ui.live import portraits
from flashtalk.ui.material import Materials, _Shelf
from flashtalk.ui.streams import Streams
from flashtalk.ui.tabs.microphone import Live
from flashtalk.ui.texts import Texts
from flashtalk.ui.tokens import Tokens
from tests.serving.fakes import FakeHouse
from tests.ui.live_kit import serve
from tests.ui.page_kit import FACE, VOICE, Page, Visitor, busy_page

DURABLE = {"secret", "lock", "jobs"}
"""Of the app's folder: what it needs itself, and long films, which their room removes (tests/serving/test_jobs.py)."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("kept")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("uploads_s", "films_s", "told"),
    [(900, 86400, ("15 minutes", "24 hours", "15 分钟", "24 小时")), (7200, 3 * 86400, ("2 hours", "3 days", "3 天"))],
)
def test_the_page_tells_the_ages_that_are_configured(uploads_s: float, films_s: float, told: tuple[str, ...]) -> None:
    ages = DoorConfig(upload_age_s=uploads_s, output_age_s=films_s)
    context = SimpleNamespace(texts=Texts(frame.TEXTS), door=SimpleNamespace(config=ages))
    for key in ("frame.small", "frame.consent_keep"):
        words = context.texts.html(key, **frame._ages(context))  # type: ignore[arg-type]
        assert [age for age in told if age not in words] == []
        assert f"{JobsConfig.keep_s / 86400:g} days" in words


def test_nothing_of_a_visitors_outlives_what_is_told(page: Page) -> None:
    """Through every function that makes a film; then time goes by."""
    ages, now_s = DoorConfig(), time.time()
    cache = Path(page.folder, "app/cache")
    with page.visitor() as visitor:
        film = use_all(page, visitor)

    def left(age_s: float) -> set[str]:
        Cleaner(build._rules(ages, cache, page.folder / "app"), lambda changed_s: now_s + age_s - changed_s).sweep()
        files = (path.relative_to(page.folder / "app") for path in (page.folder / "app").rglob("*") if path.is_file())
        return {path.parts[0] for path in files} - DURABLE

    assert '"alike": "same"' in film
    assert left(0) == {"cache", "films"}
    assert left(ages.upload_age_s + 60) == {"films"}
    assert left(ages.output_age_s + 60) == set()


def use_all(page: Page, visitor: Visitor) -> str:
    """Films of the page and of programs, a comparison, a long one; what the last call said."""
    for name in ("ft-make", "ft-compare-go", "make_film", "make_long_film"):
        function = page.function(name)
        visitor.call(function, visitor.inputs(function))
    projects = list((page.folder / "app/films").rglob("film.flashtalk.json"))
    assert projects
    return visitor.call(page.function("repeat_film"), [visitor.bring(projects[0]), ""])


def test_what_was_opened_is_forgotten_with_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 0.0
    monkeypatch.setattr(material.time, "time", lambda: clock_s)
    shelf: _Shelf[int] = _Shelf(2)
    for value, key in enumerate("abc"):
        shelf.put(key, value, until_s=900 + value)
    assert [shelf.get(key) for key in "abc"] == [None, 1, 2]
    clock_s = 901.5
    assert [shelf.get(key) for key in "abc"] == [None, None, 2]
    shelf.forget_old()
    assert list(shelf._kept) == ["c"]


def test_a_sweep_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "EVERY_S", 0.01)
    sweeps, thrice = 0, threading.Event()

    def fail() -> None:
        nonlocal sweeps
        sweeps += 1
        if sweeps == 3:
            thrice.set()
        raise RuntimeError("dictionary changed size during iteration")

    with Cleaner([]) as cleaner:
        cleaner.also(fail)
        assert thrice.wait(10)


def test_on_a_quiet_server_nothing_opened_stays_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, sounds, faces of conversations and who owned the files: all go when the cleaner has swept."""
    context, now_s = _context(tmp_path, monkeypatch), time.time()
    materials, live = Materials(context), Live(context)
    portrait = context.owners.new_folder() / "face.png"
    shutil.copy(FACE, portrait)
    materials.portrait(str(portrait))
    materials.voice(str(VOICE))
    live.portraits.bring(np.zeros((2, 2, 3), np.uint8), "somebody", Asker())
    kept = (materials._pictures._kept, materials._voices._kept, live.portraits._brought, context.owners._owners)
    context.cleaner.sweep()
    assert [len(one) for one in kept] == [1, 1, 1, 1]
    later_s = now_s + DoorConfig.upload_age_s + 1
    context.cleaner._age_s = lambda changed_s: later_s - changed_s
    later = SimpleNamespace(time=lambda: later_s, monotonic=lambda: later_s)
    for module in (material, portraits):  # the clock itself is that of the page's server, too, which would stand still
        monkeypatch.setattr(module, "time", later)
    context.cleaner.sweep()
    assert [len(one) for one in kept] == [0, 0, 0, 0]
    assert not portrait.exists()


def test_what_was_opened_late_goes_with_its_file_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, now_s = _context(tmp_path, monkeypatch), time.time()
    materials = Materials(context)
    portrait = context.owners.new_folder() / "face.png"
    shutil.copy(FACE, portrait)
    monkeypatch.setattr(material.time, "time", lambda: now_s + 800)
    materials.portrait(str(portrait))
    ((_, until_s),) = materials._pictures._kept.values()
    assert until_s < now_s + DoorConfig.upload_age_s + 5


def _stream(*sizes: int, ended: bool = False) -> MediaStream:
    """Of segments of these bytes."""
    stream = MediaStream()
    for size in sizes:
        asyncio.run(stream.add_segment({"data": b"x" * size, "duration": 1.0, "extension": ".ts"}))
    if ended:
        stream.end_stream()
    return stream


class _House:
    """Streams, and a clock, of which `left` names the sessions that still have a film."""

    def __init__(self, most_bytes: int = 1 << 30) -> None:
        self.now_s = 0.0
        self.pending: dict[str, dict[str, dict[int, MediaStream]]] = {}
        self.function: Any = SimpleNamespace(fn=lambda: None)
        blocks: Any = SimpleNamespace(pending_streams=self.pending, fns={0: self.function})
        browsers = Browsers(Tokens(b"secret"))
        self.streams = Streams(blocks, browsers, age_s=900, most_bytes=most_bytes, now_s=lambda: self.now_s)

    def film(self, address: str, session: str, size: int, *, ended: bool = True) -> None:
        """One more, called from there as Gradio calls; then a second goes by."""
        scope = {"type": "http", "headers": [], "client": (address, 1)}
        token = LocalContext.request.set(gr.Request(Request(scope), session_hash=session))
        self.function.fn()
        LocalContext.request.reset(token)
        self.pending[session] = {"a": {2: _stream(size, ended=ended)}}
        self.left()
        self.now_s += 1

    def left(self) -> str:
        self.streams.forget_old()
        return " ".join(self.pending)


def test_segments_go_when_nothing_was_added_for_long_though_the_page_never_left() -> None:
    house, stream = _House(), _stream(1)
    house.pending["somebody"] = {"a": {2: stream}, "b": {2: _stream(1)}}
    for house.now_s, left in ((0, "ab"), (890, "ab"), (1780, "a"), (2681, "")):
        if house.now_s == 890:
            stream.segments.append({"data": b"b", "duration": 1.0, "extension": ".ts"})
        house.left()
        assert "".join(house.pending.get("somebody", ())) == left
    assert (stream.ended, house.pending, house.streams._seen) == (True, {}, {})


def test_of_too_many_bytes_the_oldest_of_whoever_has_most_go_when_nobody_plays_them() -> None:
    house = _House(most_bytes=100)
    for session, size in (("greedy1", 30), ("greedy2", 30), ("greedy3", 20)):
        house.film("10.0.0.1", session, size)
    house.film("10.0.0.2", "modest", 20)
    house.now_s += 600
    assert house.left() == "greedy1 greedy2 greedy3 modest", "100 are allowed"
    house.film("10.0.0.1", "greedy4", 25)
    assert house.left() == "greedy2 greedy3 modest greedy4"
    house.film("10.0.0.2", "modest2", 10)
    assert house.left() == "greedy3 modest greedy4 modest2", "whoever brings the last straw, whoever has most gives"


def test_films_that_are_made_or_played_stay_and_one_visitor_does_not_play_all_of_theirs() -> None:
    house = _House(most_bytes=100)
    house.film("10.0.0.1", "made", 90, ended=False)
    house.film("10.0.0.2", "played", 60)
    house.film("10.0.0.2", "idle", 1)
    house.now_s += 600
    house.streams.ask("played", "a")
    house.streams.ask("played", "strange")
    assert house.left() == "made played"
    assert [*house.streams._asked_s] == [("played", "a")]
    house.now_s += 61
    assert house.left() == "made", "it was paused for long, and there is no room"
    for number in range(6):
        house.film("10.0.0.3", f"poll{number}", 30)
        for known in range(number + 1):
            house.streams.ask(f"poll{known}", "a")
    assert house.left() == "made poll2 poll3 poll4 poll5"


@pytest.mark.parametrize("more", [{}, {"session_hash": "a-page"}])
def test_gradio_streams_for_the_session_that_called(more: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", NEVER)

    def film() -> Iterator[Segment]:
        for letter in (b"a", b"b"):
            yield Segment(letter * 10, 1.0)

    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Button().click(film, None, SegmentVideo(streaming=True), api_name="film")
    house = Streams(blocks, Browsers(Tokens(b"secret")), age_s=900)
    app = gr.mount_gradio_app(fastapi.FastAPI(), blocks, "/", ssr_mode=False, run_history=False)
    with serve(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}/gradio_api/call") as web:
        event = web.post("film", json={"data": [], **more}).json()["event_id"]
        assert "complete" in web.get(f"film/{event}").text
    house.forget_old()
    ((key, run),) = house._seen.items()
    assert (key[0], run.size_bytes, run.is_whole) == (more.get("session_hash", key[0]), 20, True)
    assert run.asker.visitor


def test_the_mounted_app_lets_go_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with FakeHouse(load_config("cpu")) as client:
        settings = UiConfig(folder=str(tmp_path / "app"), streamed_max_bytes=8)
        context = build.make_context(client, settings, DoorConfig(upload_age_s=3600))
        monkeypatch.setattr(build, "make_context", lambda *_: context)
        monkeypatch.setattr(streams, "_PLAYED_S", -1.0)
        app = build.mount(client, context.settings)
        pages = next(one.app for one in app.routes if isinstance(one, Mount) and isinstance(one.app, gr.routes.App))
        pending = pages.get_blocks().pending_streams
        pending["somebody"] = {name: {2: _stream(4, ended=True)} for name in "ab"}
        context.cleaner.sweep()
        asyncio.run(_get(app, "/gradio_api/stream/somebody/b/2/playlist.m3u8"))
        pending["somebody"]["c"] = {2: _stream(4, ended=True)}
        context.cleaner.sweep()
        assert [*pending["somebody"]] == ["b", "c"], "it was asked for later"
        later_s = time.monotonic() + 3601
        context.cleaner._forgetters[-1].__self__._now_s = lambda: later_s  # type: ignore[attr-defined]
        context.cleaner.sweep()
        assert not pending


async def _get(app: Any, path: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as web:
        assert (await web.get(path)).status_code == 200


def _context(folder: Path, monkeypatch: pytest.MonkeyPatch) -> UiContext:
    """The app's parts without an engine."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
    client = SimpleNamespace(stream=lambda **_: load_config("cpu").stream)
    return build.make_context(client, UiConfig(folder=str(folder / "app")))  # type: ignore[arg-type]
