"""Where WebCodecs is missing, or Media Source too, or the live socket: the face talks all the same, in Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.serving.client import connect
from flashtalk.serving.protocol import Client
from flashtalk.ui.build import mount
from tests.ui.live_browser import CHROMIUM, browser_page, make_speech, open_tab, talking
from tests.ui.live_kit import serve, wait_until

pytest.importorskip("playwright", reason="needs the playwright package to drive a browser")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's Chromium at {CHROMIUM}"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Gradio leaves event loops unclosed
]

NO_WEBCODECS = "delete window.VideoDecoder;"
NO_MEDIA_SOURCE = "delete window.MediaSource; delete window.ManagedMediaSource;"
NO_SOCKET = "window.WebSocket = class { constructor() { throw new Error('refused'); } };"
LIVE = ".ft-live video"
PLAIN = "[data-testid$=-player]"
MOST_BEHIND_S = 5.0
"""On a machine that has other work too: its player waits for more before it goes on after a gap."""
RECORD = "#ft-live-plain button.record-button"
ENCODER_LATE_S = 1.5
"""After the microphone: Gradio's page fails unseen then, on slow lines as on busy machines."""

# What is heard and how the mouth looks, 25 times a second, as it leaves the element.
WATCH = """async selector => {
  const video = document.querySelector(selector), audio = new AudioContext();
  while (audio.currentTime === 0) {  // a busy machine opens its loudspeaker late
    await audio.resume();
    await new Promise(done => setTimeout(done, 20));
  }
  const ear = audio.createAnalyser(), wave = new Float32Array(ear.fftSize = 1024);
  audio.createMediaElementSource(video).connect(ear).connect(audio.destination);
  const small = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  window.seen = [];
  setInterval(() => {
    ear.getFloatTimeDomainData(wave);
    small.drawImage(video, 0, 0, 64, 64);
    const grey = small.getImageData(20, 36, 26, 18).data.filter((_, at) => at % 4 === 1);
    window.seen.push([video.currentTime, Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / 1024), [...grey]]);
  }, 40);
}"""

# Seconds that Gradio's list of segments holds beyond what was played.
BEHIND = """async selector => {
  const lists = performance.getEntriesByType("resource").filter(({ name }) => name.includes(".m3u8"));
  const text = lists.length ? await (await fetch(lists.at(-1).name)).text() : "";
  const made = [...text.matchAll(/EXTINF:([0-9.]+)/g)].reduce((sum, [, length]) => sum + Number(length), 0);
  return made - document.querySelector(selector).currentTime;
}"""


class App(NamedTuple):
    address: str
    client: Client
    voice: Path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The small model behind the app, with the limits that visitors have."""
    folder = tmp_path_factory.mktemp("plain")
    with (
        connect(load_config("cpu")) as client,
        serve(mount(client, UiConfig(folder=str(folder)))) as port,
    ):
        yield App(f"http://127.0.0.1:{port}/", client, make_speech(folder / "turns.wav"))


def comes_late(route: Any) -> None:
    time.sleep(ENCODER_LATE_S)
    route.continue_()


def press_start(tab: Any) -> str:
    talking(tab)
    assert tab.evaluate("() => document.querySelector('.ft-live').dataset.player") == "mse"
    return LIVE


def press_record(tab: Any) -> str:
    tab.get_by_text("Plain mode, for").click()
    tab.click(RECORD)
    return PLAIN


@contextmanager
def visit(app: App, missing: str) -> Iterator[Any]:
    """The live tab in a browser without that; afterwards nothing is left of the conversation."""
    with browser_page(app.voice) as tab:
        tab.add_init_script(missing)
        tab.route("**/assets/module-*.js", comes_late)
        open_tab(tab, app.address)
        yield tab
        tab.goto("about:blank")
    wait_until(lambda: app.client.status().seats_used == 0, 60)


def plays(tab: Any, player: str, least_s: float = 0.3) -> None:
    asked = "([name, least]) => document.querySelector(name)?.currentTime > least"
    tab.wait_for_function(asked, arg=[player, least_s], timeout=60_000)


def test_who_has_neither_player_is_sent_to_the_plain_mode_which_plays_without_them(app: App) -> None:
    with visit(app, NO_WEBCODECS + NO_MEDIA_SOURCE) as tab:
        tab.click(".ft-live [data-do=start]")
        tab.wait_for_function("() => document.querySelector('.ft-live-status').innerText.includes('plain mode')")
        assert app.client.status().seats_used == 0
        plays(tab, press_record(tab), 1.0)


@pytest.mark.parametrize(
    ("missing", "begin"),
    [
        pytest.param(NO_WEBCODECS, press_start, id="media source"),
        pytest.param(NO_SOCKET, press_record, id="no socket"),
    ],
)
def test_the_face_talks_in_lip_sync(app: App, missing: str, begin: Callable[[Any], str]) -> None:
    with visit(app, missing) as tab:
        uploads: list[str] = []
        tab.on("request", lambda request: uploads.append(request.url) if "/upload" in request.url else None)
        player = begin(tab)
        plays(tab, player)
        tab.evaluate(WATCH, player)
        tab.wait_for_timeout(9_000)
        seen = tab.evaluate("() => window.seen")
        lips_follow_the_voice(seen)
        assert np.diff([time_s for time_s, *_ in seen]).max() < 1.0, "a part of the film was left out"
        assert tab.evaluate(BEHIND, player) < MOST_BEHIND_S, "it plays ever later"
        assert len(uploads) < 2 * tab.evaluate("performance.now() / 1000"), "a visitor may not ask that often"
        assert not tab.get_by_text("words did not arrive").count(), "Gradio lost pieces of the voice"


def lips_follow_the_voice(seen: list[Any]) -> None:
    mouths = np.array([grey for *_, grey in seen], np.float32)
    moves, levels = np.abs(np.diff(mouths, axis=0)).mean(1), np.array([level for _, level, _ in seen])[1:]
    smooth = np.ones(9) / 9
    moves, levels = np.convolve(moves, smooth, "valid"), np.convolve(levels, smooth, "valid")
    loud = levels > 0.01
    assert 0.2 < loud.mean() < 0.95, "turns of speech and silence are not heard"
    assert moves[loud].mean() > 1.5 * moves[~loud].mean()
