"""The compare tab's players in chromium: the difference view shows what differs, the bar shows and sets the place."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from flashtalk.media.encode import MediaFormat
from flashtalk.media.segments import SegmentStream, join_segments
from flashtalk.ui.compare_page import TEXTS, Result, Variant, players
from flashtalk.ui.measures import FilmMeasures
from flashtalk.ui.texts import Texts
from flashtalk.ui.theme import STATIC
from tests.ui.kit import CHROMIUM, needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow]

SIDE, FPS, FRAMES, RATE = 64, 25, 75, 48_000
SIGN = slice(40, 56)
CODEC = 24
"""What two encodings of the same picture may differ by, of 255."""

START = """([html, script]) => {
  document.body.innerHTML = `<div id="ft-compare">${html}</div>`;
  const element = document.querySelector("#ft-compare");
  new Function("element", "watch", script)(element, (_name, act) => (window.renew = act));
  window.seen = { drawn: 0, most: 0, outside: 0 };
  window.look = () => {
    const canvas = document.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let most = 0, outside = 0;
    for (let at = 0; at < data.length; at += 4) {
      const x = (at / 4) % canvas.width, y = Math.floor(at / 4 / canvas.width);
      const inside = x >= 38 && x < 58 && y >= 38 && y < 58;
      const level = Math.max(data[at], data[at + 1], data[at + 2]);
      most = Math.max(most, level);
      if (!inside) outside = Math.max(outside, level);
    }
    return { drawn: data.some((level, at) => at % 4 === 3 && level) ? 1 : 0, most, outside };
  };
  const note = () => {
    const now = window.look();
    for (const name of ["drawn", "most", "outside"]) window.seen[name] = Math.max(window.seen[name], now[name]);
    requestAnimationFrame(note);
  };
  requestAnimationFrame(note);
  window.renew();
}"""
PLAYED = "document.querySelector('video').currentTime > {}"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as play:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser.new_page()
        browser.close()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The same moving picture twice, as addresses; one has a sign in a corner."""
    at = np.arange(FRAMES)[:, None, None] * 3
    waves_FHW = 128 + 60 * np.sin((np.arange(SIDE)[None, None] + at) / 5) * np.cos(np.arange(SIDE)[None, :, None] / 7)
    plain_FHWC = np.repeat(waves_FHW[..., None], 3, 3).astype(np.uint8)
    marked_FHWC = plain_FHWC.copy()
    marked_FHWC[:, SIGN, SIGN] = 255
    folder = tmp_path_factory.mktemp("films")
    plain, marked = (film(folder / name, frames) for name, frames in (("a", plain_FHWC), ("b", marked_FHWC)))
    return plain, marked


def film(path: Path, frames_FHWC: np.ndarray) -> str:
    stream = SegmentStream(MediaFormat(width=SIDE, height=SIDE, fps=FPS, sample_rate=RATE))
    sound = np.zeros(FRAMES * RATE // FPS, np.float32)
    join_segments([stream.encode(frames_FHWC, sound, last=True).data], path)
    return f"data:video/mp4;base64,{b64encode(path.read_bytes()).decode()}"


def show(page: Page, addresses: Sequence[str], *, fresh: bool = True) -> None:
    """Start the players with these films, on a fresh page or on the one that is there."""
    measures = FilmMeasures(1, 1, 0, None, None)
    results = [
        Result(Variant(letter, "", 4, 0, 1.0), address, 30.0, 0.5, measures)
        for letter, address in zip("ABCD", addresses, strict=False)
    ]
    script = (STATIC / "compare.js").read_text(encoding="utf-8")
    if fresh:
        page.goto("about:blank")
    page.evaluate(START, [players(Texts(TEXTS, {}), results, start=True), script])


def test_equal_films_show_black_whatever_their_clocks_do(page: Page, films: tuple[str, str]) -> None:
    plain, _ = films
    show(page, (plain, plain))
    for at_s in (0.4, 0.8, 1.2, 1.6):
        page.wait_for_function(PLAYED.format(at_s))
        page.evaluate("document.querySelectorAll('video')[1].currentTime -= 0.06")
    page.wait_for_timeout(300)
    page.click("[data-play]")
    page.wait_for_timeout(300)
    seen = page.evaluate("window.seen")
    assert seen["drawn"]
    assert seen["most"] == 0, seen
    first_s, second_s = page.evaluate("[...document.querySelectorAll('video')].map((one) => one.currentTime)")
    assert abs(first_s - second_s) < 1e-3


def test_what_differs_is_shown_where_it_differs(page: Page, films: tuple[str, str]) -> None:
    show(page, films)
    page.wait_for_function(PLAYED.format(1))
    seen = page.evaluate("window.seen")
    assert seen["most"] > 100
    assert seen["outside"] <= CODEC


def test_pictures_that_say_no_place_are_compared_too(page: Page, films: tuple[str, str]) -> None:
    """Firefox gives the second of the film as if it were its microsecond."""
    page.goto("about:blank")
    page.evaluate("() => { window.VideoFrame = class { timestamp = 1; close() {} }; }")
    show(page, films, fresh=False)
    page.wait_for_function(PLAYED.format(1))
    assert page.evaluate("window.seen.most") > 100


def test_the_chosen_film_is_held_against_the_first(page: Page, films: tuple[str, str]) -> None:
    plain, marked = films
    show(page, (plain, plain, marked))
    page.wait_for_function(PLAYED.format(0.5))
    assert page.evaluate("window.seen.most") == 0
    page.click("[data-against='2']")
    page.wait_for_function("window.look().most > 100")


NOTE_PLACES = """() => {
  const [first, other] = document.querySelectorAll("video");
  window.jumps = window.ahead = 0;
  other.addEventListener("seeking", () => window.jumps++);
  const note = () => {
    window.ahead = Math.max(window.ahead, other.currentTime - first.currentTime);
    requestAnimationFrame(note);
  };
  note();
}"""
IN_STEP = """() => {
  const [first, other] = document.querySelectorAll("video");
  return !other.paused && Math.abs(first.currentTime - other.currentTime) < 0.06;
}"""


def test_a_player_that_stands_still_is_waited_for_and_one_that_stopped_is_fetched(
    page: Page, films: tuple[str, str]
) -> None:
    """WebKit's begin seconds late and stop by themselves; one that is sought again and again never gets going."""
    show(page, films)
    page.wait_for_function(PLAYED.format(0.3))
    page.evaluate(NOTE_PLACES)
    page.evaluate("document.querySelector('video').pause()")
    page.wait_for_timeout(900)
    jumps, ahead_s = page.evaluate("[window.jumps, window.ahead]")
    assert jumps == 0
    assert 0.2 < ahead_s < 0.45
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function(IN_STEP)
    page.evaluate("document.querySelectorAll('video')[1].pause()")
    page.wait_for_function(IN_STEP)
    assert page.evaluate("window.jumps") == 0


def test_only_the_one_that_is_heard_has_its_sound_played(page: Page, films: tuple[str, str]) -> None:
    """Muted sound is played, too, and in WebKit it held up the pictures of all."""
    page.goto("about:blank")
    page.evaluate("""() => Object.defineProperty(HTMLVideoElement.prototype, "audioTracks", {
      configurable: true, get() { return (this.tracks ??= [{ enabled: true }]); } })""")
    show(page, (*films, films[0]), fresh=False)
    page.wait_for_function(PLAYED.format(0.1))
    heard = page.evaluate("[...document.querySelectorAll('video')].map((one) => one.audioTracks[0].enabled)")
    assert heard == [True, False, False]


BAR = """() => {
  const [slider, video] = ["[data-seek]", "video"].map((part) => document.querySelector(part));
  return [slider.value * video.duration, video.currentTime, parseFloat(slider.getAttribute("aria-valuetext"))];
}"""
"""In seconds: where the bar stands, where the film is, what a screen reader says."""


def test_the_bar_follows_its_film_unless_it_is_dragged_and_a_key_moves_both_by_a_second(
    page: Page, films: tuple[str, str]
) -> None:
    show(page, films)
    page.wait_for_function(PLAYED.format(0.3))
    bar = page.locator("[data-seek]")
    box = bar.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_function(PLAYED.format(0.6))
    held_s, film_s, said_s = page.evaluate(BAR)
    assert held_s < 0.5 < film_s
    assert abs(said_s - film_s) < 0.1
    page.mouse.up()
    page.wait_for_function(PLAYED.format(0.9))
    assert np.ptp(page.evaluate(BAR)) < 0.1, "who dragged it still has it in hand for the keys"
    before_s = page.evaluate(BAR)[1]
    bar.press("ArrowRight")
    after_s = page.evaluate(BAR)[1]
    assert before_s + 0.9 < after_s < before_s + 1.5
    bar.press("ArrowLeft")
    assert page.evaluate(BAR)[1] < after_s - 0.5
