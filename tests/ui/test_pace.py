"""When a film may start to play: laws of ui/pace.py, and of static/player.js in a real page with a video that obeys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, sync_playwright

from flashtalk.ui.pace import WINDOW, Pace, Speeds, Spread
from flashtalk.ui.theme import STATIC
from tests.ui.kit import CHROMIUM, needs_chromium

CHUNK, FPS = 28, 25
CHUNK_S = CHUNK / FPS
DELIVERY_S = 0.15
seconds = st.floats(0.02, 6.0)


def pace_at(chunks: int, total: int, spread: Spread) -> Pace:
    return Pace(min(chunks * CHUNK, total), total, 30.0, FPS, CHUNK, spread)


def spread_after(seen: Sequence[float], guess_s: float) -> Spread:
    speeds = Speeds()
    for chunk_s in seen:
        speeds.add("kind", chunk_s)
    return speeds.spread("kind", guess_s)


def start_of(took: Sequence[float], total: int, spread: Spread) -> float:
    """When a film begins to play whose chunks take so long, as ui/making.py decides; the first is there at 0."""
    there_s = 0.0
    for chunks in range(1, len(took) + 2):
        start_s = there_s + pace_at(chunks, total, spread).hold_s
        next_s = there_s + took[chunks - 1] if chunks <= len(took) else math.inf
        if start_s < next_s:
            return start_s
        there_s = next_s
    raise AssertionError("a complete film plays at once")


def lateness(took: Sequence[float], start_s: float) -> float:
    """The most that a chunk comes after its turn."""
    there_s, late_s = 0.0, -math.inf
    for index, chunk_s in enumerate(took, start=1):
        there_s += chunk_s
        late_s = max(late_s, there_s + DELIVERY_S - start_s - index * CHUNK_S)
    return late_s


@settings(max_examples=300, deadline=None)
@given(st.lists(seconds, min_size=WINDOW, max_size=2 * WINDOW), st.integers(1, 3 * WINDOW), st.randoms())
def test_a_film_made_as_films_were_lately_never_stalls(seen: list[float], chunks: int, rng: object) -> None:
    """Whatever the order, hiccups, slow ends: as long as no window holds more slow chunks than the last one did."""
    order = rng.sample(seen[-WINDOW:], WINDOW)  # type: ignore[attr-defined]
    took = (order * (chunks // WINDOW + 1))[:chunks]
    total = (chunks + 1) * CHUNK
    assert lateness(took, start_of(took, total, spread_after(seen, 0.0))) <= 1e-6


@settings(max_examples=300, deadline=None)
@given(seconds, st.lists(seconds, max_size=WINDOW // 2), st.lists(st.floats(0, 1.3), min_size=1, max_size=60))
def test_what_is_not_known_yet_is_reckoned_with_caution(first_s: float, seen: list[float], parts: list[float]) -> None:
    """A new kind of film, or one seen a few times: chunks may take a third more than the slowest so far."""
    slowest = max(seen, default=first_s)
    took = [part * slowest for part in parts][: WINDOW - len(seen)]
    start_s = start_of(took, (len(took) + 1) * CHUNK, spread_after(seen, first_s))
    assert lateness(took, start_s) <= 1e-6


@given(st.lists(st.floats(0.02, 0.85), min_size=WINDOW, max_size=WINDOW), st.integers(1, 3000))
def test_a_fast_machine_does_not_wait(seen: list[float], total: int) -> None:
    assert pace_at(1, total, spread_after(seen, 0.0)).hold_s == 0


@given(st.floats(0.02, 0.7), st.integers(1, 3000))
def test_nor_does_its_first_film(first_s: float, total: int) -> None:
    assert pace_at(1, total, spread_after([], first_s)).hold_s == 0


def test_one_hiccup_is_reckoned_with_once() -> None:
    spread = spread_after([0.5] * (WINDOW - 1) + [3.0], 0.0)
    assert 1.5 < pace_at(1, 50 * CHUNK, spread).hold_s < 3.0
    assert spread_after([3.0] + [0.5] * WINDOW, 0.0).longest_s(5) == pytest.approx(2.5)


OBEDIENT = """
  const video = document.querySelector("video");
  window.at = 0; window.acts = [];
  Object.defineProperty(video, "currentTime", { get: () => window.at });
  Object.defineProperty(video, "paused", { get: () => window.acts.at(-1) === "pause" });
  video.pause = () => window.acts.push("pause");
  video.play = async () => { window.acts.push("play"); video.dispatchEvent(new Event("play")); };
  window.fallBehind = (at) => { window.at = at; video.dispatchEvent(new Event("waiting")); };
  window.tell = (lead, made) => {
    document.querySelector("#line").innerHTML =
      `<div class="ft-status" data-lead-s="${lead}" data-made-s="${made}" data-wait-words="Wait"><p>Making</p></div>`;
    window.told?.();
  };
  window.load = (code) => new Function("element", "watch", code)(
    document.querySelector("#line"), (_, act) => (window.told = act));
"""


@pytest.fixture(scope="module")
def player() -> Iterator[Page]:
    """player.js beside a video that only notes what it is told."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.clock.install()
        page.set_content('<div id="ft-video"><video></video></div><div id="line"></div>')
        page.evaluate(OBEDIENT)
        page.evaluate("(code) => window.load(code)", (STATIC / "player.js").read_text(encoding="utf-8"))
        yield page
        browser.close()


@needs_chromium
@pytest.mark.slow
def test_a_film_that_falls_behind_pauses_once_and_goes_on(player: Page) -> None:
    player.evaluate("window.tell(3.0, 2.24); window.fallBehind(2.2)")
    assert player.evaluate("window.acts") == ["pause"]
    assert player.inner_text("#line p") == "Wait"
    player.evaluate("window.tell(3.0, 3.36)")  # 1.16 s are there, 3 are needed: not yet
    player.evaluate("window.tell(2.5, 4.48)")  # 2.28 of 2.5
    player.clock.run_for(150)
    assert player.evaluate("window.acts") == ["pause"]
    player.clock.run_for(200)  # the rest is time that passes
    assert player.evaluate("window.acts") == ["pause", "play"]
    player.evaluate("window.tell(0.5, 5.6); window.fallBehind(3.0)")  # it is there: only the browser is slow
    assert player.evaluate("window.acts") == ["pause", "play"]
    player.evaluate("window.tell(2.0, 5.6); window.fallBehind(5.6); window.tell(0.0, 6.1)")  # the last chunk
    player.clock.run_for(1)
    assert player.evaluate("window.acts") == ["pause", "play", "pause", "play"]
