"""A film for one visitor, from press to links: what each press still says, and what it leaves of the one before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import ConfigError, InputError
from flashtalk.media import speak
from flashtalk.media.segments import Segment
from flashtalk.ui.build import make_context
from flashtalk.ui.making import Request
from flashtalk.ui.project import Wishes, write_project
from flashtalk.ui.samples import SAMPLES
from flashtalk.ui.tabs import compare
from flashtalk.ui.tabs.upload import _Tab
from tests.ui.live_house import SIZE_PX, PacedHouse
from tests.ui.page_kit import FACE, VOICE

ASKED: Any = SimpleNamespace(session_hash="somebody")
PANEL = ("", 0, 2, f"{SIZE_PX}×{SIZE_PX}", "cover", 0.0, True)
WAIT_S = 20.0
MADE_WITH = {"flashtalk": "1", "model": "m", "device": "cpu", "machine": "", "settings": "s"}


@pytest.fixture
def tab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Tab]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    with PacedHouse(load_config("cpu", {"stream.width": SIZE_PX, "stream.height": SIZE_PX}), lambda: 0.0) as client:
        yield _Tab(make_context(client, UiConfig(folder=str(tmp_path / "app"))))


def request(portrait: str | None = str(FACE)) -> Request:
    return Request(portrait=portrait, voice=str(VOICE), wishes=Wishes(), visitor="somebody")


def test_a_press_that_was_replaced_says_nothing_more(tab: _Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its picture is still looked at then, and turns out to be none."""
    opens, go_on, portrait = threading.Event(), threading.Event(), tab.materials.portrait

    def look(path: str | None) -> Any:
        if path == "hard.png":
            opens.set()
            go_on.wait(WAIT_S)
            raise InputError("This picture is too hard.", code="upload_too_hard")
        return portrait(path)

    monkeypatch.setattr(tab.materials, "portrait", look)
    former = tab.studio.watch(request("hard.png"))
    next(former)
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(list, former)
        assert opens.wait(WAIT_S)
        *_, (_, said, links) = tab.studio.watch(request())
        go_on.set()
        assert left.result(WAIT_S) == []
    assert ("Done" in said, "film.mp4" in str(links)) == (True, True)


def test_the_links_of_the_film_before_stay_until_there_is_another_one_to_see(tab: _Tab) -> None:
    refused = [links for _, _, links in tab.studio.watch(request(portrait=None))]
    film = [(isinstance(video, Segment), links == "") for video, _, links in tab.studio.watch(request())]
    assert "" not in refused
    assert [is_empty for is_seen, is_empty in film if not is_seen] == [False, False], "at the press and at the end"
    assert all(is_empty for is_seen, is_empty in film if is_seen)


def test_a_text_that_is_still_being_read_out_does_not_end_the_film_of_a_later_press(
    tab: _Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, go_on = threading.Event(), threading.Event()

    def read(text: str, portrait: str | None = None) -> str:
        reads.set()
        go_on.wait(WAIT_S)
        return str(VOICE)

    monkeypatch.setattr(speak, "can_speak", lambda: True)
    monkeypatch.setattr(tab, "speak", read)
    with ThreadPoolExecutor(1) as pool:
        typed = pool.submit(list, tab.watch(ASKED, str(FACE), None, "Hello.", *PANEL))
        assert reads.wait(WAIT_S)
        card = tab.watch_sample(SAMPLES[0])(ASKED, *PANEL)
        told = [next(card)]
        go_on.set()
        said = [(str(words), voice) for _, words, _, voice in typed.result(WAIT_S)]
        told += card
    assert any("Done" in str(words) for _, words, *_ in told)
    assert not any("Done" in words for words, _ in said)
    assert all(voice == gr.skip() for _, voice in said), "beside the card's face"


def test_a_text_that_was_read_out_is_in_the_chooser_before_the_film_waits_for_anything(
    tab: _Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever chooses a voice for the next film meanwhile keeps it."""
    told, client = list[Any](), tab._context.client
    known, really = list[Any](), client.open

    def seat(*given: Any, **named: Any) -> Any:
        known.extend(told)
        return really(*given, **named)

    monkeypatch.setattr(speak, "can_speak", lambda: True)
    monkeypatch.setattr(tab, "speak", lambda *_: str(VOICE))
    monkeypatch.setattr(client, "open", seat)
    for *_, voice in tab.watch(ASKED, str(FACE), None, "Hello.", *PANEL):
        told.append(voice)
    assert str(VOICE) in known
    assert told.count(str(VOICE)) == 1


def test_a_text_that_cannot_be_spoken_leaves_the_film_that_is_being_made(tab: _Tab) -> None:
    film = tab.watch(ASKED, str(FACE), str(VOICE), "", *PANEL)
    for _ in range(2):
        next(film)
    refused = list(tab.watch(ASKED, str(FACE), None, "x" * 10_000, *PANEL))
    assert "letters are too many" in str(refused)
    told = str(list(film))
    assert ("Done" in told, "film.mp4" in told) == (True, True)


def written(path: Path) -> str:
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(path, Wishes(), face, voice, MADE_WITH)
    return str(path)


def test_of_two_projects_the_one_opened_last_is_what_fills_the_page(
    tab: _Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's model is being started meanwhile, and fails."""
    starts, go_on = threading.Event(), threading.Event()
    project = written(tmp_path / "film.json")

    def how(_: Any) -> str:
        if not starts.is_set():
            starts.set()
            go_on.wait(WAIT_S)
            raise ConfigError("This model does not start.")
        return "same"

    monkeypatch.setattr(tab.studio, "how_alike", how)
    with ThreadPoolExecutor(1) as pool:
        former = pool.submit(list, tab.open_project(ASKED, project))
        assert starts.wait(WAIT_S)
        opened = list(tab.open_project(ASKED, project))
        go_on.set()
        assert former.result(WAIT_S) == [gr.skip()]
    assert "The project is open" in opened[0][0]


def test_a_project_that_cannot_be_read_leaves_the_one_that_is_being_opened(
    tab: _Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts, go_on = threading.Event(), threading.Event()
    project = written(tmp_path / "film.json")
    (tmp_path / "broken.json").write_text("{")

    def how(_: Any) -> str:
        starts.set()
        go_on.wait(WAIT_S)
        return "same"

    monkeypatch.setattr(tab.studio, "how_alike", how)
    with ThreadPoolExecutor(1) as pool:
        former = pool.submit(list, tab.open_project(ASKED, project))
        assert starts.wait(WAIT_S)
        with pytest.raises(InputError):
            list(tab.open_project(ASKED, str(tmp_path / "broken.json")))
        go_on.set()
        assert "The project is open" in former.result(WAIT_S)[0][0]


def test_a_stop_where_no_comparison_is_made_leaves_what_is_said(tab: _Tab) -> None:
    other = compare._Tab(tab._context)
    assert other.stop(ASKED) == gr.skip()
    fields = [field for on in (True, True, False, False) for field in (on, "", 2, 0, 0.0)]
    updates = other.watch(ASKED, str(FACE), str(VOICE), *fields)
    for _ in range(2):
        next(updates)
    assert "Stopped." in other.stop(ASKED)
    assert other.stop(ASKED) == gr.skip()
    *_, (said, _) = updates
    assert "Stopped." in said
