"""The film tab and the compare tab in chromium, with the real small model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client as Remote
from gradio_client import handle_file
from playwright.sync_api import Browser, Page, sync_playwright

from tests.source import ROOT
from tests.ui.kit import CHROMIUM, Served, needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow]

FIRST_FRAME_S = 2.0
FAST_ENOUGH_FPS = 26.0
SECONDS_MS = 1000
WATCH = """() => {
  window.seen = { pressed: 0, first: 0, stalls: [], ended: false };
  document.addEventListener("click", () => (window.seen.pressed ||= performance.now()), { capture: true });
  const look = () => {
    const video = document.querySelector("#ft-video video");
    if (video && !video.watched) {
      video.watched = true;
      video.requestVideoFrameCallback((now) => (window.seen.first = now));
      video.addEventListener("waiting", () => video.currentTime > 0.1 && window.seen.stalls.push(video.currentTime));
      video.addEventListener("ended", () => (window.seen.ended = true));
    }
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        opened = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
    opened = context.new_page()
    opened.goto(served.url)
    opened.wait_for_selector("#ft-make")
    yield opened
    context.close()


def speed_now(served: Served) -> dict[str, float]:
    """The same film without a page: what this machine can do just now."""
    remote = Remote(served.url, verbose=False)
    try:
        files = (
            handle_file(ROOT / f"assets/{name}") for name in ("portraits/omar.png", "speech/english-human-sorry.wav")
        )
        *_, figures = remote.predict(*files, "", 0, 4, "256×256", "cover", 1.0, True, "", api_name="/make_film")
    finally:
        remote.close()
    return dict(figures)


def test_a_film_plays_while_it_is_made(page: Page, served: Served) -> None:
    speed_now(served)
    before = speed_now(served)
    page.evaluate(WATCH)
    page.click("#ft-card-3")
    page.wait_for_selector(".ft-save", timeout=120 * SECONDS_MS)
    page.wait_for_function("window.seen.ended", timeout=30 * SECONDS_MS)
    seen = page.evaluate("window.seen")
    fps, painted_s = before["frames_per_second"], (seen["first"] - seen["pressed"]) / 1000
    if fps < FAST_ENOUGH_FPS:
        pytest.skip(f"this machine is too busy or slow: {fps:.1f} frames a second even without a page")
    assert painted_s <= FIRST_FRAME_S
    assert seen["stalls"] == []


def test_the_compare_tab_plays_in_step(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.click("#ft-compare-go")
    page.wait_for_selector("#ft-compare [data-start]", timeout=180 * SECONDS_MS)
    page.wait_for_function("document.querySelector('#ft-compare video').currentTime > 1", timeout=20 * SECONDS_MS)
    times = page.evaluate("[...document.querySelectorAll('#ft-compare video')].map((video) => video.currentTime)")
    assert len(times) == 2
    assert abs(times[0] - times[1]) < 0.1
    drawn = page.evaluate(
        "(() => { const c = document.querySelector('#ft-compare canvas');"
        "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((a, b) => a + b, 0); })()"
    )
    assert drawn > 0
    assert page.locator("#ft-compare table tbody tr").count() == 6


def test_what_is_missing_is_said(page: Page) -> None:
    page.click("#ft-make")
    words = page.locator("#ft-status .ft-failed")
    words.wait_for()
    assert words.inner_text() == "Choose a face first: one of ours, a picture of yours or the camera."


def test_the_page_speaks_chinese(browser: Browser, served: Served) -> None:
    context = browser.new_context(locale="zh-CN")
    chinese = context.new_page()
    chinese.goto(served.url)
    chinese.wait_for_selector("#ft-make")
    assert chinese.inner_text("#ft-make").strip() == "开始说话"
    chinese.click("#ft-make")
    chinese.wait_for_selector("#ft-status .ft-failed")
    context.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
@pytest.mark.parametrize("shade", ["light", "dark"])
def test_nothing_sticks_out(
    browser: Browser, served: Served, width: int, height: int, shade: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=shade, locale="en-US")
    shown = context.new_page()
    shown.goto(served.url)
    shown.wait_for_selector("#ft-make")
    for tab in ("Film", "Compare"):
        shown.get_by_role("tab", name=tab, exact=True).click()
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        assert shown.screenshot(path=tmp_path / f"{tab}.png")
    assert shown.evaluate("document.body.classList.contains('dark')") is (shade == "dark")
    context.close()
