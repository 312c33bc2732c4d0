"""A film on the page in chromium, watched: when it was painted, where it stalled, what the machine gave meanwhile.

And whose face and voice are in a file. Used by test_upload_browser.py, test_long_browser.py and tests/soak_page.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from playwright.sync_api import Page

from flashtalk.media.audio import read_audio_all
from flashtalk.media.fit import fit_portrait
from flashtalk.media.image import open_portrait
from flashtalk.ui.measures import loudness

SECONDS_MS = 1000
RATE = 16_000
STEP = RATE // 50
WATCH = """() => {
  window.seen = { pressed: 0, first: 0, began: 0, stalls: [], pauses: 0, made: [], ended: false };
  document.addEventListener("click", () => (window.seen.pressed ||= performance.now()), { capture: true });
  new MutationObserver(() => {
    const made_s = Number(document.querySelector("#ft-status .ft-status")?.dataset.madeS ?? 0);
    if (made_s > (window.seen.made.at(-1)?.[0] ?? 0)) window.seen.made.push([made_s, performance.now()]);
  }).observe(document.querySelector("#ft-status"), { childList: true, subtree: true, attributes: true });
  const look = () => {
    const video = document.querySelector("#ft-video video");
    if (video && !video.watched) {
      video.watched = true;
      video.requestVideoFrameCallback((now) => (window.seen.first = now));
      video.addEventListener("playing", () => (window.seen.began ||= performance.now()));
      video.addEventListener("waiting", () => {
        if (video.currentTime > 0.1) window.seen.stalls.push([performance.now(), video.currentTime]);
      });
      video.addEventListener("pause", () => video.ended || window.seen.pauses++);
      video.addEventListener("ended", () => (window.seen.ended = true));
    }
    requestAnimationFrame(look);
  };
  look();
}"""
ARRIVALS = """() => performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".ts"))
  .map((one) => one.responseEnd).sort((a, b) => a - b)"""


@dataclass(frozen=True)
class Shown:
    """How a film was shown, in seconds since the press. made_s, arrived_s: when chunks were made, and in the page."""

    painted_s: float
    began_s: float
    stalls: list[tuple[float, float]]
    pauses: int
    made_s: list[float]
    arrived_s: list[float]
    duration_s: float

    @property
    def took_s(self) -> list[float]:
        """What the machine gave, with the page and all else on it: the times between chunks."""
        return [later - sooner for sooner, later in itertools.pairwise(self.made_s)]

    @property
    def real_stalls(self) -> list[tuple[float, float]]:
        """At the end of the film nothing is missing but the word that it is the end."""
        return [(at_s, place_s) for at_s, place_s in self.stalls if place_s < self.duration_s - 0.1]


def shown_film(page: Page, card: str) -> Shown:
    page.evaluate(WATCH)
    page.evaluate("performance.clearResourceTimings()")
    page.click(card)
    page.wait_for_selector("#ft-status .ft-busy")
    page.wait_for_selector("#ft-status .ft-status:not(.ft-busy)", timeout=240 * SECONDS_MS)
    page.wait_for_function("window.seen.ended", timeout=60 * SECONDS_MS)
    seen, arrivals = page.evaluate("window.seen"), page.evaluate(ARRIVALS)

    def since(times_ms: Iterable[float]) -> list[float]:
        return [(at_ms - seen["pressed"]) / 1000 for at_ms in times_ms]

    painted_s, began_s = since([seen["first"], seen["began"]])
    stalls = list(zip(since(at_ms for at_ms, _ in seen["stalls"]), (place for _, place in seen["stalls"]), strict=True))
    made_s = since(at_ms for _, at_ms in seen["made"])
    duration_s = page.evaluate("document.querySelector('#ft-video video').duration")
    return Shown(painted_s, began_s, stalls, seen["pauses"], made_s, since(arrivals), duration_s)


def pictures_of(film: Path) -> np.ndarray:
    """RGB uint8 [F, H, W, 3]."""
    with av.open(str(film)) as opened:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)])


def unlike(frames_FHWC: np.ndarray, portrait: Path) -> float:
    """How far the film's mean picture is from what a film of this portrait begins with, in levels of 255."""
    wanted_HWC = fit_portrait(open_portrait(portrait), frames_FHWC.shape[2], frames_FHWC.shape[1])
    return float(np.abs(frames_FHWC.mean(axis=0) - wanted_HWC).mean())


def heard_in(film: Path, voice: Path) -> float:
    """How the film's loudness goes with that of any part of the voice, said again and again: 1 if it is the same."""
    film_T, voice_T = (np.log(0.01 + loudness(read_audio_all(one, RATE), STEP)) for one in (film, voice))
    again_T = np.resize(voice_T, len(voice_T) + len(film_T))
    parts = (again_T[start : start + len(film_T)] for start in range(len(voice_T)))
    return max(float(np.corrcoef(film_T, part_T)[0, 1]) for part_T in parts)
