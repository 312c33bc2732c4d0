"""The microphone tab in Debian's Chromium, with the small model in its own process and with an engine of known cost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flashtalk.config_file import load_config
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from tests.ui.live_browser import (
    CHROMIUM,
    FIGURES,
    LATENESS_S,
    WATCH,
    WATCH_LATENESS,
    browser_page,
    make_speech,
    mouth_and_voice,
    open_tab,
    served_page,
    talking,
)
from tests.ui.live_house import SIZE_PX, PacedHouse
from tests.ui.live_kit import wait_until

pytest.importorskip("playwright", reason="needs the playwright package to drive a browser")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's Chromium at {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Gradio leaves event loops unclosed
]

STOP = ".ft-live [data-do=start]"
PAGE = "document.querySelector('.ft-live').page"
PLAYER = f"{PAGE}.conversation.player"
COMPUTE_S = 0.25


@dataclass
class App:
    address: str
    client: Client
    folder: Path
    cost_s: list[float] = field(default_factory=lambda: [COMPUTE_S])
    """What the next chunk takes, where the engine is of known cost."""

    @property
    def turns(self) -> Path:
        return make_speech(self.folder / "turns.wav")

    @property
    def conversations(self) -> int:
        return self.client.status().seats_used

    def stop(self, tab: Any) -> None:
        """Nothing is left of the conversation, and the page complained about nothing."""
        tab.click(STOP)
        wait_until(lambda: self.conversations == 0, 20)
        assert not [problem for problem in tab.problems if "404" not in problem]


def served(client: Client, folder: Path) -> Iterator[App]:
    with served_page(client, folder) as address:
        yield App(address, client, folder)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The small model, served as the app serves it."""
    with connect(load_config("cpu")) as client:
        yield from served(client, tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def paced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An engine that takes COMPUTE_S for each chunk, unless a test says otherwise; it has a cheaper rung."""
    config = load_config("cpu", {"stream.width": SIZE_PX, "stream.height": SIZE_PX, "stream.steps": 4})
    cost_s = [COMPUTE_S]
    with PacedHouse(config, lambda: cost_s[0]) as client:
        for app in served(client, tmp_path_factory.mktemp("paced")):
            app.cost_s = cost_s
            yield app


def figures(tab: Any) -> dict[str, Any]:
    return tab.evaluate(FIGURES)


def says(tab: Any, words: str) -> None:
    tab.wait_for_function(f"() => document.querySelector('.ft-live-status').innerText.includes({words!r})")


# The small model.


def test_speak_interrupt_lose_the_line_lose_the_worker_and_speak_again(app: App) -> None:
    with browser_page(app.turns) as tab:
        open_tab(tab, app.address)
        talking(tab)
        tab.evaluate(WATCH)
        tab.evaluate(WATCH_LATENESS)
        tab.wait_for_function(f"() => {PLAYER}.now() > 9", timeout=120_000)
        late_s = tab.evaluate(LATENESS_S)
        lips_follow_the_voice(tab.evaluate("() => window.seen"))
        sound_and_pictures_are_together(figures(tab)["skews"], 0.08 + late_s)
        silent_within(tab, 0.3 + late_s)
        comes_back(app, tab, lose_the_line)
        comes_back(app, tab, lose_the_worker)
        app.stop(tab)


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


def sound_and_pictures_are_together(skews_s: list[float], limit_s: float) -> None:
    assert abs(np.median(skews_s)) < 0.04
    assert np.percentile(np.abs(skews_s), 95) < limit_s


def silent_within(tab: Any, limit_s: float) -> None:
    """Press Interrupt while it speaks; the loudspeaker falls silent, and what is made next is silence."""
    tab.wait_for_function("() => window.seen.heard.slice(-8).every(([, level]) => level > 0.01)", polling=20)
    clicked_ms = tab.evaluate(
        "() => { const at = performance.now(); document.querySelector('[data-do=interrupt]').click(); return at; }"
    )
    tab.wait_for_function("() => window.seen.epochs.some(([reason]) => reason === 'interrupt')")
    tab.wait_for_timeout(900)
    heard = np.array(tab.evaluate("() => window.seen.heard"))
    after = heard[(heard[:, 0] > clicked_ms + 1000 * limit_s) & (heard[:, 0] < clicked_ms + 900)]
    assert len(after) > 3
    assert after[:, 1].max() < 0.005


def lose_the_line(_app: App, tab: Any) -> None:
    tab.evaluate(f"() => {PAGE}.conversation.wire.socket.close()")
    tab.wait_for_function(f"() => {PAGE}.conversation.wire.reconnects === 1")


def lose_the_worker(app: App, tab: Any) -> None:
    """It is killed while it speaks."""
    tab.wait_for_function("() => window.seen.heard.slice(-8).every(([, level]) => level > 0.01)", polling=20)
    before = app.client.status()
    for process in before.processes:
        os.kill(process, signal.SIGKILL)
    says(tab, "restarts")
    assert tab.evaluate(f"() => {PAGE}.root.dataset.state") == "live"
    wait_until(lambda: app.client.status().generation > before.generation and app.client.status().ready, 120)


def comes_back(app: App, tab: Any, lose: Any) -> None:
    """Pictures and sound go on in the same conversation, which says so; the page was not loaded again."""
    key, epochs = (tab.evaluate(f"() => {what}") for what in (f"{PAGE}.conversation.wire.key", "seen.epochs.length"))
    lose(app, tab)
    resumed = f"() => seen.epochs.slice({epochs}).some(([reason]) => reason === 'resume')"
    tab.wait_for_function(resumed, timeout=120_000)
    says(tab, "Back again")
    painted, heard = (tab.evaluate(f"() => {what}") for what in (f"{PLAYER}.figures.painted", "seen.heard.length"))
    tab.wait_for_function(f"() => {PLAYER}.figures.painted > {painted} + 20", timeout=60_000)
    tab.wait_for_function(f"() => seen.heard.slice({heard}).some(([, level]) => level > 0.01)", timeout=60_000)
    assert tab.evaluate(f"() => {PAGE}.conversation.wire.key") == key
    assert app.conversations == 1


# The engine of known cost.


def test_mouth_to_picture_in_the_browser_is_a_chunk_its_making_and_at_most_0_4_s(paced: App) -> None:
    with browser_page(paced.turns) as tab:
        open_tab(tab, paced.address)
        tab.evaluate(WATCH_LATENESS)
        talking(tab)
        first_ms, delays, stages = figures(tab)["first_ms"], [], {}
        for _ in range(20):
            tab.wait_for_timeout(500)
            now = figures(tab)
            delays.append(now["delay_s"])
            stages = now["stages"]
        late_s = tab.evaluate(LATENESS_S)
        assert first_ms / 1000 < 0.48 + COMPUTE_S + 1.0 + 5 * late_s
        assert np.median(delays[8:]) < 1.12 + stages["compute"] + 0.4 + late_s
        assert np.median(delays[8:]) == pytest.approx(sum(stages.values()), abs=0.15 + late_s)
        change_the_microphone(tab)
        sleep_like_a_locked_phone(tab)
        paced.stop(tab)


def change_the_microphone(tab: Any) -> None:
    """To the second of Chromium's fake ones: the conversation goes on with it."""
    label = tab.evaluate("() => document.querySelector('.ft-live-device select').options[2].label")
    tab.select_option(".ft-live-device select", label=label)
    tab.wait_for_function(f"() => {PAGE}.conversation.ear.label === {label!r}")
    painted = figures(tab)["painted"]
    tab.wait_for_function(f"() => {PLAYER}.figures.painted > {painted} + 10")


def sleep_like_a_locked_phone(tab: Any) -> None:
    """Its sound stands still; when it is seen again, the conversation goes on from now and not from then."""
    tab.evaluate(f"() => {PAGE}.audio.suspend()")
    tab.wait_for_timeout(1500)
    tab.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    tab.wait_for_function(f"() => {PAGE}.conversation.wire.reconnects === 1 && {PAGE}.audio.state === 'running'")
    tab.wait_for_function(f"() => {PLAYER}.queue.state.playing")


@pytest.mark.parametrize("player", ["webcodecs", "mse"])
def test_who_has_no_microphone_has_a_talking_face_with_one_click(paced: App, player: str) -> None:
    with browser_page(None) as tab:
        open_tab(tab, paced.address + f"?player={player}")
        talking(tab, "sample")
        assert tab.evaluate(f"() => {PAGE}.root.dataset.player") == player
        says(tab, "sample voice")
        tab.wait_for_function(f"() => {PLAYER}.now() > 4", timeout=60_000)
        assert figures(tab)["painted"] > 40
        assert tab.evaluate(f"() => {PAGE}.meter.trueDelayS") > 1.12, "nothing was heard"
        paced.stop(tab)


REFUSALS = {
    "NotFoundError": "No microphone was found",
    "NotReadableError": "Another program uses",
    "NoLoudspeaker": "found no loudspeaker",
    "StrangeError": "load the page again",
    "NotAllowedError": "is blocked. Allow it",
}


def test_without_a_microphone_there_is_a_sentence_and_a_way_on_without_a_mouse(paced: App) -> None:
    with browser_page(paced.turns, viewport={"width": 320, "height": 640}) as tab:
        open_tab(tab, paced.address)
        assert tab.evaluate("() => document.documentElement.scrollWidth") == 320
        tab.focus(STOP)
        for error, words in REFUSALS.items():
            tab.evaluate(
                "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); }; }",
                error,
            )
            tab.keyboard.press("Enter")
            says(tab, words)
            tab.focus(STOP)
        assert paced.conversations == 0
        tab.keyboard.press("Tab")  # Interrupt and Mute can do nothing now: the sample voice is next
        tab.keyboard.press("Enter")
        says(tab, "sample voice speaks")
        paced.stop(tab)


# What changes while one talks.

LEAPS = """() => {
  const { player } = document.querySelector(".ft-live").page.conversation;
  window.leaps = [];
  let last = [performance.now(), player.now()];
  setInterval(() => {
    const here = [performance.now(), player.now()];
    window.leaps.push(here[1] - last[1] - (here[0] - last[0]) / 1000);
    last = here;
  }, 10);
}"""
"""By how much the page's clock runs ahead of the wall's within a blink."""


@pytest.mark.parametrize("player", ["webcodecs", "mse"])
def test_nothing_that_was_sent_is_skipped_when_the_picture_becomes_simpler(paced: App, player: str) -> None:
    with served_page(paced.client, paced.folder / player) as address, browser_page(paced.turns) as tab:
        open_tab(tab, address + f"?player={player}")
        talking(tab)
        tab.wait_for_function(f"() => {PLAYER}.now() > 1.5")
        tab.evaluate(WATCH_LATENESS)
        tab.evaluate(LEAPS)
        paced.cost_s[0] = 1.0
        try:
            says(tab, "simplified")
        finally:
            paced.cost_s[0] = COMPUTE_S
        before_s = figures(tab)["now"]
        tab.wait_for_function(f"() => {PLAYER}.now() > {before_s + 2}", timeout=60_000)  # to the new one
        assert tab.evaluate("() => Math.max(...window.leaps)") < 0.4 + tab.evaluate(LATENESS_S)
        paced.stop(tab)


RECLAIMED = """{
  const Own = window.VideoDecoder;
  window.VideoDecoder = class extends Own {
    constructor(init) {
      super(init);
      window.reclaim = () => {
        this.close();
        init.error(new DOMException("Codec reclaimed due to inactivity.", "QuotaExceededError"));
      };
    }
  };
}"""


def test_a_decoder_that_the_browser_takes_back_from_a_hidden_page_is_made_anew(paced: App) -> None:
    with browser_page(paced.turns) as tab:
        tab.add_init_script(RECLAIMED)
        open_tab(tab, paced.address)
        talking(tab)
        tab.wait_for_function(f"() => {PLAYER}.figures.painted > 10")
        tab.evaluate("() => window.reclaim()")
        assert tab.evaluate(f"() => Boolean({PAGE}.conversation)"), figures(tab)
        painted = figures(tab)["painted"]
        tab.wait_for_function(f"() => {PLAYER}.figures.painted > {painted} + 40")
        paced.stop(tab)


ASKED = """() => {
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wishes) => new Promise((allow, refuse) => {
    window.allow = async () => { window.given = await own(wishes); allow(window.given); };
    window.refuse = (name) => refuse(new DOMException("", name));
  });
  window.atOnce = () => { navigator.mediaDevices.getUserMedia = own; };
}"""
"""The browser asks from now on, until the test answers."""
CHOSEN = "() => document.querySelector('.ft-live-device select').value"


def choose_another_microphone(tab: Any) -> None:
    labels = "[...document.querySelector('.ft-live-device select').options].map((one) => one.label)"
    tab.wait_for_function(f"() => {labels}.length > 2")
    tab.evaluate(ASKED)
    tab.select_option(".ft-live-device select", label=tab.evaluate(f"() => {labels}[2]"))
    tab.wait_for_function("() => window.refuse")


def test_a_microphone_that_is_refused_or_busy_does_not_end_the_talk(paced: App) -> None:
    with browser_page(paced.turns) as tab:
        open_tab(tab, paced.address)
        talking(tab)
        chosen, label = tab.evaluate(CHOSEN), tab.evaluate(f"() => {PAGE}.conversation.ear.label")
        choose_another_microphone(tab)
        tab.evaluate("() => window.refuse('NotReadableError')")
        says(tab, "goes on as before")
        assert tab.evaluate(CHOSEN) == chosen
        assert tab.evaluate(f"() => {PAGE}.conversation.ear.label") == label
        painted = figures(tab)["painted"]
        tab.wait_for_function(f"() => {PLAYER}.figures.painted > {painted} + 20")
        paced.stop(tab)


def test_an_answer_after_the_end_leaves_no_microphone_on_and_the_next_talk_alone(paced: App) -> None:
    with browser_page(paced.turns) as tab:
        open_tab(tab, paced.address)
        talking(tab)
        choose_another_microphone(tab)
        tab.click(STOP)
        tab.evaluate("() => window.allow()")
        tab.wait_for_function("() => window.given?.getTracks().every((track) => track.readyState === 'ended')")
        tab.evaluate("() => window.atOnce()")
        talking(tab)
        choose_another_microphone(tab)
        tab.click(STOP)
        tab.evaluate("() => window.atOnce()")
        talking(tab)
        tab.evaluate("() => window.refuse('NotAllowedError')")
        painted = figures(tab)["painted"]
        tab.wait_for_function(f"() => {PLAYER}.figures.painted > {painted} + 20")
        paced.stop(tab)


FRAME_CALLS = """{
  const own = HTMLVideoElement.prototype.requestVideoFrameCallback;
  window.awaited = 0;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (act) {
    window.awaited++;
    return own.call(this, (...values) => { window.awaited--; act(...values); });
  };
}"""


@pytest.mark.parametrize("player", ["webcodecs", "mse"])
def test_a_conversation_that_ended_leaves_nothing_at_work(paced: App, player: str) -> None:
    with browser_page(paced.turns) as tab:
        tab.add_init_script(FRAME_CALLS)
        open_tab(tab, paced.address + f"?player={player}")
        for _ in range(3):
            talking(tab)
            tab.wait_for_function(f"() => {PLAYER}.figures.painted > 5 && {PLAYER}.now() > 0.2")
            assert tab.evaluate("() => window.awaited") == (player == "mse")
            tab.click(STOP)
            tab.wait_for_function(f"() => {PAGE}.audio.state === 'suspended'")
        talking(tab)
        paced.stop(tab)
