"""The long-video tab in a real browser on the real small model: one click is enough, and it survives kill -9."""

from __future__ import annotations

import os
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

from tests.source import ROOT
from tests.ui.kit import Served
from tests.ui.live_browser import CHROMIUM
from tests.ui.live_kit import wait_until

pytest.importorskip("playwright")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium")]

SECONDS = 7
START_S, MAKE_S = 120, 180
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
    samples, rate = soundfile.read(ROOT / "assets/speech/english-human-busy.wav")
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.resize(samples, SECONDS * rate), rate)
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
    """What cannot be undone takes a second click."""
    for _ in range(2):
        page.locator(f"[data-do={action}]").first.click()


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
