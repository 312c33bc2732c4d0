"""The long-video tab in a real browser on the real small model: one click is enough, and it survives kill -9."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from flashtalk.media.audio import read_audio_all
from flashtalk.serving.jobs.span import JOIN_FRAMES
from tests.source import ROOT
from tests.ui.film_browser import pictures_of
from tests.ui.kit import Served
from tests.ui.live_browser import CHROMIUM
from tests.ui.live_kit import wait_until

pytest.importorskip("playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")]

SECONDS = 7
PAUSED_SECONDS = 10
"""Long enough to be paused in the middle."""
FPS, CHUNK_FRAMES = 25, 28
REST_MS = 1500
"""A chunk or two would be made meanwhile."""
DOUBLE_MS = 600
START_S, MAKE_S = 120, 180
BAR = "Number(document.querySelector('.ft-long-film .ft-bar').getAttribute('aria-valuenow'))"
"""How much of the newest film is made, in percent."""
VIDEO = "document.querySelector('.ft-long video')"


@contextmanager
def app(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The app as people start it; killed with all of its processes at the end."""
    command = [sys.executable, "app.py", "--port", str(port), "--folder", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port), START_S)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return talk(tmp_path, SECONDS)


def talk(folder: Path, seconds: int) -> Path:
    samples, rate = soundfile.read(ROOT / "assets/speech/english-human-busy.wav")
    path = folder / "talk.wav"
    soundfile.write(path, np.resize(samples, seconds * rate), rate)
    return path


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    return tmp_path / "app"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def page() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        opened = browser.new_page()
        opened.set_default_timeout(1000 * MAKE_S)
        opened.problems = []
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        yield opened
        browser.close()


def order(page: Any, sound: Path) -> None:
    panel = page.locator("[role=tabpanel]:visible")
    panel.locator("#ft-long-voice button[aria-label='Take it away']").click()
    panel.locator("#ft-long-voice input[type=file][accept*=audio]").set_input_files(str(sound))
    panel.locator("#ft-long-voice .waveform-container, #ft-long-voice audio").first.wait_for(state="attached")
    panel.get_by_label("Name of the film").fill("My talk")
    panel.locator("#ft-long-go").dblclick()


def twice(page: Any, action: str) -> None:
    """What cannot be undone takes a second click, later than a double click."""
    for _ in range(2):
        page.locator(f"[data-do={action}]").first.click()
        page.wait_for_timeout(DOUBLE_MS)


def films_of(folder: Path) -> list[Path]:
    return list(folder.glob("jobs/*/film.mp4"))


def open_tab(page: Any) -> None:
    page.get_by_role("tab", name="Long video").click()


def test_one_click_makes_somebody_talk(page: Any, served: Served) -> None:
    others = set(served.folder.glob("jobs/*"))
    page.goto(served.url)
    open_tab(page)
    page.set_viewport_size({"width": 390, "height": 844})  # the button is a page below the film
    page.locator("#ft-long-go").click()
    page.wait_for_function("document.querySelector('.ft-long-film')")
    page.wait_for_function("Math.abs(document.querySelector('.ft-long-stage').getBoundingClientRect().top) < 300")
    page.wait_for_function(f"{VIDEO}.currentTime > 0.3")
    twice(page, "cancel")
    page.wait_for_selector(".ft-long-film[data-state=cancelled]")
    (own,) = set(served.folder.glob("jobs/*")) - others
    assert [path.name for path in own.iterdir()] == ["job.json"]
    twice(page, "remove")
    page.wait_for_selector(".ft-long[data-state=none]")
    assert page.problems == []


def test_pause_go_on_and_a_part_again_do_what_they_say(page: Any, served: Served, tmp_path: Path) -> None:
    sound = talk(tmp_path, PAUSED_SECONDS)
    page.goto(served.url)
    open_tab(page)
    order(page, sound)
    newest(page, "done")
    undisturbed = saved(page, tmp_path / "undisturbed.mp4")
    order(page, sound)
    pause_and_go_on(page)
    film = saved(page, tmp_path / "film.mp4")
    assert film.read_bytes() == undisturbed.read_bytes()
    first, end = make_again(page, 3.2, 4.0)
    assert first <= 3.2 * FPS
    assert 4.0 * FPS <= end <= first + 3 * CHUNK_FRAMES
    again = saved(page, tmp_path / "again.mp4")
    old_FHWC, new_FHWC = pictures_of(film), pictures_of(again)
    assert len(old_FHWC) == PAUSED_SECONDS * FPS
    changed_F = (old_FHWC != new_FHWC).any(axis=(1, 2, 3))
    assert changed_F[first : end - JOIN_FRAMES].all()
    assert not changed_F[:first].any()
    assert not changed_F[end:].any()
    assert np.array_equal(read_audio_all(film), read_audio_all(again))
    assert page.problems == []


def newest(page: Any, state: str) -> None:
    page.wait_for_function(f"document.querySelector('.ft-long-film')?.dataset.state === '{state}'")


def saved(page: Any, path: Path) -> Path:
    """The newest film, by its link."""
    with page.expect_download() as download:
        page.locator(".ft-long-film").first.locator(".ft-long-save").click()
    download.value.save_as(path)
    return path


def pause_and_go_on(page: Any) -> None:
    """While the newest film is made; what is there when it pauses is there when the page is loaded again."""
    newest(page, "rendering")
    page.wait_for_function(f"{BAR} > 0")
    page.locator("[data-do=pause]").click()
    newest(page, "paused")
    made, words = page.evaluate(BAR), page.locator(".ft-long-film").first.inner_text()
    assert 0 < made < 100
    page.wait_for_timeout(REST_MS)
    page.reload()
    open_tab(page)
    newest(page, "paused")
    assert page.locator(".ft-long-film").first.inner_text() == words
    page.locator("[data-do=resume]").click()
    newest(page, "done")


def make_again(page: Any, first_s: float, end_s: float) -> tuple[int, int]:
    """The frames that were made again, as the page says; the new film is the newest, and it is shown."""
    form, films = page.locator(".ft-long-again"), page.locator(".ft-long-film")
    before = films.count()
    form.locator("[name=from]").fill(str(first_s))
    form.locator("[name=to]").fill(str(end_s))
    form.get_by_role("button", name="Make it again").click()
    page.wait_for_function(f"document.querySelectorAll('.ft-long-film[data-state=done]').length === {before + 1}")
    said = re.search(r"seconds ([\d.]+) to ([\d.]+) again", films.first.inner_text())
    assert said, films.first.inner_text()
    own = films.first.get_attribute("data-id")
    page.wait_for_function(f"{VIDEO}.src.includes('{own}') && {VIDEO}.readyState >= 2")
    first, end = (CHUNK_FRAMES * round(float(moment) * FPS / CHUNK_FRAMES) for moment in said.groups())
    return first, end


def test_a_film_survives_the_death_of_everything(page: Any, sound: Path, app_folder: Path, port: int) -> None:
    with app(app_folder, port):
        page.goto(f"http://127.0.0.1:{port}/")
        open_tab(page)
        order(page, sound)
        page.wait_for_function(f"{VIDEO}.currentTime > 0.5")
        assert page.locator(".ft-long-film").count() == 1, "a double click is one order"
        assert page.locator(".ft-long-film").get_attribute("data-state") == "rendering"
    page.wait_for_function("document.querySelector('.ft-long-note').textContent.includes('trying again')")
    with app(app_folder, port):
        page.wait_for_selector(".ft-long-film:not([data-state=paused])")  # the page finds its film without being loaded
        page.reload()
        open_tab(page)
        page.wait_for_function(f"{VIDEO}.readyState >= 2 && {VIDEO}.currentTime > 0")  # and where it was in it
        page.wait_for_selector(".ft-long-film[data-state=done]")
        page.wait_for_function(f"{VIDEO}.src.endsWith('film.mp4') && {VIDEO}.readyState >= 2")
        assert page.evaluate(f"{VIDEO}.duration") == pytest.approx(SECONDS, abs=0.1)
        assert page.locator(".ft-long-chart polyline").count() == 3
        order(page, sound)
        page.wait_for_function("document.querySelectorAll('.ft-long-film[data-state=done]').length == 2")
        killed, undisturbed = films_of(app_folder)
        assert killed.read_bytes() == undisturbed.read_bytes()
        with av.open(str(killed)) as film:
            assert sum(1 for _ in film.decode(video=0)) == SECONDS * 25
    assert page.problems == []
