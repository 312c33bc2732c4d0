"""What was chosen just before a press is what is made, and a comparison that was stopped is over for all."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route

from flashtalk.ui.project import Wishes, write_project
from flashtalk.ui.samples import SAMPLES
from tests.ui.kit import needs_chromium
from tests.ui.live_kit import wait_until
from tests.ui.page_kit import FACE, VOICE, Visitor, busy_page
from tests.ui.test_manners_browser import PATIENCE_MS, visit

CHUNK_S, LONG_CHUNK_S, WAIT_S = 0.3, 6.0, 20.0
SOON_MS = 2000
DOUBLE_MS = 600
"""A press that comes sooner after another one is that one's double."""
GO, STOP = "ft-compare-go", "ft-compare-stop"
MODEL_OF_B = 8
"""Its place among the values of a press: a face, a voice, and five of each letter."""
SEED = 77
MADE_WITH = {"flashtalk": "1", "model": "m", "device": "cpu", "machine": "", "settings": "s"}
TWO = SAMPLES[1]
CALLS = "**/gradio_api/{run,queue}/**"
SEATED = "#ft-compare-status .ft-busy"


def press(visitor: Visitor, name: str) -> str:
    """One of the functions that do not wait in Gradio's line; what it gives."""
    call = {"data": [], "fn_index": visitor.page.function(name)._id, "session_hash": visitor.session}
    answer = visitor.web.post("/gradio_api/run/predict", json=call)
    assert answer.is_success, answer.text
    return answer.text


def project(folder: Path, model: str = "") -> Path:
    path = folder / "film.flashtalk.json"
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(path, Wishes(seed=SEED, model=model), face, voice, MADE_WITH)
    return path


# The samples


@needs_chromium
@pytest.mark.slow
def test_a_sample_chosen_just_before_the_press_is_taken(browser: Browser, tmp_path: Path) -> None:
    """Over a line on which nothing but the press itself arrives."""
    with busy_page(tmp_path) as house, visit(browser, house.address) as page:
        make, asked = house.function("ft-make")._id, list[Any]()
        page.click(".ft-thumb >> nth=0")
        page.click(".ft-chip >> nth=0")
        page.wait_for_selector("#ft-face img")
        page.wait_for_selector("#ft-voice input[type=file]", state="detached")

        def let_through(route: Route) -> None:
            call = route.request.post_data_json if route.request.method == "POST" else None
            if call is None or call["fn_index"] == make:
                asked.append(call)
                route.continue_()

        page.route(CALLS, let_through)
        page.click(".ft-thumb >> nth=1")
        page.click(".ft-chip >> nth=1")
        page.click("#ft-make")
        page.wait_for_selector(".ft-save", timeout=PATIENCE_MS)
        face, voice = next(filter(None, asked))["data"][:2]
        assert (Path(face["path"]).name, Path(voice["path"]).name) == (TWO.portrait, TWO.voice)
        assert page.locator("#ft-face img").evaluate("(one) => one.naturalWidth") > 0
        assert page.problems == []  # type: ignore[attr-defined]


# Comparisons


def test_a_comparison_is_stopped_though_its_page_does_not_know_its_name(tmp_path: Path) -> None:
    """That comes with the answer to the press, which a slow line brings after the stop."""
    with busy_page(tmp_path, CHUNK_S) as page, page.visitor() as visitor:
        go = page.function(GO)
        visitor.ask(go, visitor.inputs(go)).raise_for_status()
        wait_until(lambda: page.house.status().seats_used == 1, WAIT_S)
        assert "Stopped." in press(visitor, STOP)
        wait_until(lambda: page.house.status().seats_used == 0, WAIT_S)
        said = " ".join(map(str, visitor.told()))
        assert "Done." not in said
        assert "Stopped." in said
        assert [*page.folder.rglob("film.mp4")] == []
        assert len({stream.steps for stream, _ in page.house.asked}) == 1, "the second film was not begun"


def test_a_visitors_next_comparison_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    with busy_page(tmp_path, CHUNK_S, films=1) as page, page.visitor() as visitor:
        go = page.function(GO)
        for _ in range(2):
            visitor.ask(go, visitor.inputs(go)).raise_for_status()
            wait_until(lambda: page.house.status().seats_used == 1, WAIT_S)
        said = " ".join(map(str, visitor.told()))
    assert "waiting or being made" not in said
    assert "Stopped." not in said
    assert "Done. They play in step." in said
    assert len([*page.folder.rglob("film.mp4")]) == 2


def test_the_next_comparison_does_not_wait_for_a_model_that_the_one_before_was_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        busy_page(tmp_path, **{"serving.variants": {"other": {}}}) as page,
        page.visitor() as visitor,
        ThreadPoolExecutor(1) as pool,
    ):
        starts, go_on, build = threading.Event(), threading.Event(), page.house._build

        def build_late(*of: Any) -> Any:
            starts.set()
            go_on.wait(WAIT_S)
            return build(*of)

        def films() -> int:
            return len([*page.folder.rglob("film.mp4")])

        go = page.function(GO)
        usual = visitor.inputs(go)
        monkeypatch.setattr(page.house, "_build", build_late)
        visitor.ask(go, [*usual[:MODEL_OF_B], "other", *usual[MODEL_OF_B + 1 :]]).raise_for_status()
        told = pool.submit(lambda: " ".join(map(str, visitor.told())))
        assert starts.wait(WAIT_S)
        press(visitor, STOP)
        visitor.ask(go, usual).raise_for_status()
        wait_until(lambda: films() == 3, WAIT_S)
        go_on.set()
        assert "Stopped." not in told.result(WAIT_S), "over the films of the second"
        assert films() == 3, "the first has but one"


@needs_chromium
@pytest.mark.slow
def test_a_comparison_that_was_stopped_may_be_begun_again_at_once(browser: Browser, tmp_path: Path) -> None:
    with busy_page(tmp_path, LONG_CHUNK_S) as house, visit(browser, house.address) as page:
        page.get_by_role("tab").nth(3).click()
        page.click(f"#{GO}")
        page.wait_for_selector(SEATED)
        wait_until(lambda: house.house.status().seats_used == 1, WAIT_S)
        page.wait_for_timeout(DOUBLE_MS)
        page.click(f"#{STOP}")
        page.wait_for_selector(SEATED, state="detached")
        assert page.locator("#ft-compare-status").inner_text() == "Stopped."
        page.click(f"#{GO}")
        page.wait_for_selector(SEATED, timeout=SOON_MS)
        page.wait_for_timeout(DOUBLE_MS)
        assert page.locator(SEATED).count() == 1, "the one that was stopped has no last word on it"
        page.click(f"#{STOP}")


# Projects


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_press_waits_for_a_project_that_is_being_opened(browser: Browser, tmp_path: Path, is_whole: bool) -> None:
    with busy_page(tmp_path) as house, visit(browser, house.address) as page:
        opening, make = house.function("open_project")._id, house.function("ft-make")._id
        asked, held = list[Any](), list[Route]()
        file = project(tmp_path)
        if not is_whole:
            file.write_text("{}")
        page.evaluate("localStorage.setItem('flashtalk_consent', 'yes')")

        def hold(route: Route) -> None:
            call = route.request.post_data_json if route.request.method == "POST" else None
            if call and call["fn_index"] == make:
                asked.append(call)
            if call and call["fn_index"] == opening:
                held.append(route)
            else:
                route.continue_()

        page.route(CALLS, hold)
        page.get_by_role("button", name="Settings").locator("visible=true").first.click()
        page.set_input_files("input:has(+ .ft-project)", file)
        page.click("#ft-make")
        page.get_by_text("What you chose is still on its way.").wait_for()
        wait_until(lambda: bool(page.wait_for_timeout(50) or held), WAIT_S)
        assert not asked
        held[0].continue_()
        if not is_whole:
            page.get_by_text("What you chose did not arrive, so nothing was begun.").wait_for()
            assert not asked
            return
        page.wait_for_selector(".ft-save", timeout=PATIENCE_MS)
        assert SEED in asked[0]["data"]
        assert Path(asked[0]["data"][0]["path"]).name == FACE.name


def test_whoever_opens_a_project_is_told_that_its_model_is_started(tmp_path: Path) -> None:
    with busy_page(tmp_path, **{"serving.variants": {"other": {}}}) as page, page.visitor() as visitor:
        opened, said = page.function("open_project"), list[str]()
        for model, barren in (("other", True), ("other", False), ("", False)):
            page.house.barren = barren
            said.append(visitor.call(opened, [visitor.bring(project(tmp_path, model))]))
    assert "ft-failed" in said[0].split("Starting the model", 1)[1]
    assert "The project is open" in said[1].split("Starting the model", 1)[1]
    assert "Starting the model" not in said[2]
