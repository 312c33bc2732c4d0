"""What the page says of what it keeps is what happens: every file of a visitor's goes at the age that is told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from fastapi.routing import Mount

from flashtalk.config_app import DoorConfig, JobsConfig, UiConfig
from flashtalk.config_file import load_config
from flashtalk.ui import build, frame, material
from flashtalk.ui.browsers import Asker
from flashtalk.ui.cleaning import Cleaner
from flashtalk.ui.context import UiContext
from flashtalk.ui.material import Materials, _Shelf
from flashtalk.ui.streams import Streams
from flashtalk.ui.tabs.microphone import Live
from flashtalk.ui.texts import Texts
from tests.serving.fakes import FakeHouse
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
        Cleaner(build._rules(ages, cache, page.folder / "app"), lambda: now_s + age_s).sweep()
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
    context.cleaner._now_s = lambda: later_s
    monkeypatch.setattr(material.time, "time", lambda: later_s)
    monkeypatch.setattr(material.time, "monotonic", lambda: later_s)
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


def test_segments_go_when_nothing_was_added_for_long_though_the_page_never_left() -> None:
    clock_s, ended = 0.0, []
    stream = SimpleNamespace(segments=[b"a"], end_stream=lambda: ended.append("somebody"))
    blocks = SimpleNamespace(pending_streams={"somebody": {1: {2: stream}}})
    streams = Streams(blocks, 900, lambda: clock_s)  # type: ignore[arg-type]
    for clock_s, left in ((0, 1), (890, 1), (1780, 1), (2681, 0)):
        if clock_s == 890:
            stream.segments.append(b"b")
        streams.forget_old()
        assert len(blocks.pending_streams) == left
    assert (ended, streams._seen) == (["somebody"], {})


def test_the_mounted_app_lets_go_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(segments=[b"a"], end_stream=lambda: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with FakeHouse(load_config("cpu")) as client:
        context = build.make_context(client, UiConfig(folder=str(tmp_path / "app")), DoorConfig(upload_age_s=0))
        monkeypatch.setattr(build, "make_context", lambda *_: context)
        app = build.mount(client, context.settings)
        pages = next(one.app for one in app.routes if isinstance(one, Mount) and isinstance(one.app, gr.routes.App))
        pages.get_blocks().pending_streams["somebody"] = {1: {2: stream}}  # type: ignore[assignment]
        for left in (1, 0):  # a first look cannot tell how old it is
            context.cleaner.sweep()
            assert len(pages.get_blocks().pending_streams) == left


def _context(folder: Path, monkeypatch: pytest.MonkeyPatch) -> UiContext:
    """The app's parts without an engine."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
    client = SimpleNamespace(stream=lambda **_: load_config("cpu").stream)
    return build.make_context(client, UiConfig(folder=str(folder / "app")))  # type: ignore[arg-type]
