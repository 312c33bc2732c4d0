"""The microphone tab in Debian's Chromium with the small model: lips, interrupt, coming back, both players."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtalk.config_file import load_config
from flashtalk.serving.client import connect
from flashtalk.ui.context import UiContext
from flashtalk.ui.tabs.microphone import live_of
from tests.ui.live_browser import (
    CHROMIUM,
    FIGURES,
    WATCH,
    browser_page,
    make_context,
    make_speech,
    mouth_and_voice,
    served_page,
)
from tests.ui.live_kit import wait_until

pytest.importorskip("playwright", reason="needs the playwright package to drive a browser")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's Chromium at {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Gradio leaves event loops unclosed
]

START = ".ft-live [data-do=start]"


@dataclass
class App:
    address: str
    context: UiContext
    folder: Path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("live")
    with connect(load_config("cpu", {"stream.steps": 2}), isolated=False) as client:
        context = make_context(client, folder)
        with served_page(context) as address:
            yield App(address, context, folder)
        live_of(context).sessions.close()


def started(app: App, tab: Any, query: str = "") -> None:
    tab.goto(app.address + query)
    tab.wait_for_selector("#ft-live-pass [data-token]", state="attached")
    tab.click(START)
    tab.wait_for_function("() => document.querySelector('.ft-live').page.conversation?.player.figures.painted > 0")


def figures(tab: Any) -> dict[str, Any]:
    return tab.evaluate(FIGURES)


def test_speak_interrupt_lose_the_line_and_speak_again(app: App) -> None:
    with browser_page(make_speech(app.folder / "turns.wav")) as tab:
        started(app, tab)
        assert figures(tab)["first_ms"] < 4000
        tab.evaluate(WATCH)
        tab.wait_for_timeout(12000)
        now = figures(tab)
        lips_follow_the_voice(tab.evaluate("() => window.seen"))
        sound_and_pictures_are_together(now["skews"])
        delay_is_what_its_stages_say(now)
        silent_within(tab, 0.3)
        comes_back(app, tab)
        assert not [problem for problem in tab.problems if "404" not in problem]
        tab.click(START)
        wait_until(lambda: live_of(app.context).sessions.count == 0, 5)


def lips_follow_the_voice(seen: dict[str, Any]) -> None:
    moves, levels = mouth_and_voice(seen)
    smooth = np.ones(5) / 5
    together = np.corrcoef(np.convolve(moves, smooth, "same"), np.convolve(levels, smooth, "same"))[0, 1]
    loud = levels > 0.02
    assert loud.any()
    assert not loud.all()
    assert moves[loud].mean() > 1.5 * moves[~loud].mean()
    assert moves[~loud].mean() > 0, "idle life stands still"
    assert together > 0.3


def sound_and_pictures_are_together(skews_s: list[float]) -> None:
    assert abs(np.median(skews_s)) < 0.04
    assert np.percentile(np.abs(skews_s), 95) < 0.08


def delay_is_what_its_stages_say(now: dict[str, Any]) -> None:
    stages = now["stages"]
    bound_s = stages["listen"] + stages["wait"] + stages["compute"] + 0.4 + now["queue"]["lead"]
    assert 0.3 < now["delay_s"] < bound_s + 0.3


def silent_within(tab: Any, limit_s: float) -> None:
    """Press Interrupt while it speaks; the loudspeaker falls silent, and the mouth closes with the next chunk."""
    tab.wait_for_function("() => window.seen.heard.slice(-8).every(([, level]) => level > 0.01)", polling=20)
    clicked_ms = tab.evaluate(
        "() => { const at = performance.now(); document.querySelector('[data-do=interrupt]').click(); return at; }"
    )
    tab.wait_for_function("() => window.seen.epochs.some(([reason]) => reason === 'interrupt')")
    tab.wait_for_timeout(900)
    heard = np.array(tab.evaluate("() => window.seen.heard"))
    after = heard[(heard[:, 0] > clicked_ms + 1000 * limit_s) & (heard[:, 0] < clicked_ms + 900)]
    assert len(after) > 10
    assert after[:, 1].max() < 0.005


def comes_back(app: App, tab: Any) -> None:
    key = "document.querySelector('.ft-live').page.conversation.wire"
    before = tab.evaluate(f"() => {key}.key")
    painted = figures(tab)["painted"]
    tab.evaluate(f"() => {key}.socket.close()")
    tab.wait_for_function(f"() => {key}.reconnects === 1", timeout=5000)
    tab.wait_for_function(
        f"() => document.querySelector('.ft-live').page.conversation.player.figures.painted > {painted} + 20"
    )
    assert tab.evaluate(f"() => {key}.key") == before
    assert live_of(app.context).sessions.count == 1


def test_media_source_player_plays_where_webcodecs_is_missing(app: App) -> None:
    with browser_page(make_speech(app.folder / "turns.wav")) as tab:
        tab.add_init_script("delete window.VideoDecoder")
        started(app, tab)
        assert tab.evaluate("() => document.querySelector('.ft-live').dataset.player") == "mse"
        tab.wait_for_function("() => document.querySelector('.ft-live').page.conversation.player.now() > 4")
        now = figures(tab)
        assert now["painted"] > 40
        assert not [problem for problem in tab.problems if "404" not in problem]
        tab.click(START)
        wait_until(lambda: live_of(app.context).sessions.count == 0, 5)


def test_a_browser_without_either_is_sent_to_the_plain_mode(app: App) -> None:
    with browser_page(make_speech(app.folder / "turns.wav")) as tab:
        tab.add_init_script("delete window.VideoDecoder; delete window.MediaSource")
        tab.goto(app.address)
        tab.wait_for_selector("#ft-live-pass [data-token]", state="attached")
        tab.click(START)
        tab.wait_for_function("() => document.querySelector('.ft-live-status').innerText.includes('plain')")
        assert live_of(app.context).sessions.count == 0
