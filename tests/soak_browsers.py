"""`python -m tests.soak_browsers --json FILE --pictures FOLDER`: every tab in Firefox and WebKit, figures as JSON.

Each tab's looks in both languages, light and dark, wide and narrow; a film, one that comes late, a conversation in both
players, a long film while it grows, two films side by side; errors in the console. WebKit keeps Safari's rule about
sound: only soon after a press. Where a browser is not installed, the figures say so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ui.film_browser import WATCH
from tests.ui.kit import serve
from tests.ui.other_browsers import Browser, Refused, browser, missing

Figures = dict[str, Any]

TABS = ("film", "live", "long", "compare")
WIDE, NARROW = (1280, 900), (390, 844)
STANDS = "document.documentElement.hasAttribute('data-stands')"
LATE_MS = 7000
"""Longer than WebKit remembers a press."""
TALK_S, LONG_S = 12.0, 20.0
FILM_PATIENCE_S, COMPARE_PATIENCE_S = 120.0, 240.0
LEAST_PICTURES, MOST_APART_S = 20, 0.06

HOLD_CALLS = f"""const call = window.fetch;
window.fetch = async (...asked) => {{
  if (String(asked[0].url ?? asked[0]).includes("queue/join")) await new Promise((go) => setTimeout(go, {LATE_MS}));
  return call(...asked);
}};"""
SEEN = """const film = document.querySelector("#ft-video video");
const { pressed, first, stalls, pauses, ended } = window.seen;
return { painted_s: (first - pressed) / 1000, pauses, ended, at_s: film.currentTime, length_s: film.duration,
  stalls: stalls.filter(([, at]) => at < film.duration - 0.1).map(([, at]) => at),
  sounds: film.mozHasAudio ?? film.audioTracks.length > 0,
  asks: document.querySelector("#ft-video").classList.contains("ft-asks") };"""
LIVE = """const { conversation, meter, root, status } = document.querySelector(".ft-live").page;
const { player } = conversation ?? {};
return { player: root.dataset.player, state: root.dataset.state, says: status.innerText.trim(),
  delay_s: meter.trueDelayS, painted: player?.figures.painted, late: player?.figures.late, at_s: player?.now() };"""
APART = """window.apart = [];
const look = () => {
  const [one, other] = document.querySelectorAll("#ft-compare video");
  if (other && !one.paused && one.currentTime > 1) window.apart.push(Math.abs(one.currentTime - other.currentTime));
  requestAnimationFrame(look);
};
look();"""
COMPARED = """const films = [...document.querySelectorAll("#ft-compare video")];
const canvas = document.querySelector("#ft-compare canvas"), { width, height } = canvas;
const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
return { at_s: films.map((one) => one.currentTime), muted: films.map((one) => one.muted), apart_s: window.apart,
  pressed: document.querySelector("#ft-compare [data-play]").getAttribute("aria-pressed"),
  difference: data.reduce((sum, value, at) => (at % 4 < 3 ? sum + value : sum), 0) / (width * height * 3) };"""


def load(page: Browser, url: str, tab: str, wish: str = "lang=en&__theme=light") -> None:
    """A fresh page with one tab chosen."""
    page.open(f"{url}/?{wish}")
    page.wait(STANDS)
    page.evaluate(f"document.querySelectorAll('#ft-tabs > .tab-wrapper [role=tab]')[{TABS.index(tab)}].click()")
    time.sleep(0.7)


def looks(page: Browser, url: str, folder: Path) -> Figures:
    """A picture of each tab in each dress; the pixels by which something is too wide."""
    too_wide = {}
    for language, shade, (width, height) in (
        (language, shade, size) for language in ("en", "zh") for shade in ("light", "dark") for size in (WIDE, NARROW)
    ):
        page.set_page(width, height)
        for tab in TABS:
            load(page, url, tab, f"lang={language}&__theme={shade}")
            name = f"{tab}-{language}-{shade}-{width}"
            (folder / f"{name}.png").write_bytes(page.picture())
            over = page.evaluate(
                "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth"
            )
            if over > 0:
                too_wide[name] = over
    page.set_page(*WIDE)
    return {"too_wide_px": too_wide, "held": not too_wide}


def film(page: Browser, url: str, hold: str = "") -> Figures:
    """From the press of a face to the film's end; `hold`: a script that makes its turn come late.

    One that comes later than WebKit remembers a press asks for another one, and then plays.
    """
    load(page, url, "film")
    page.evaluate(f"({WATCH})(); {hold}")
    page.click("#ft-card-0")
    page.wait("document.querySelector('.ft-save')", FILM_PATIENCE_S)
    page.wait("window.seen.ended || document.querySelector('#ft-video.ft-asks')")
    asked: bool = page.evaluate(SEEN)["asks"]
    if asked:
        page.click("#ft-video video")
    page.wait("window.seen.ended")
    seen: Figures = page.evaluate(SEEN) | {"asked_for_a_press": asked}
    return seen | {"held": seen["sounds"] and not seen.pop("asks") and seen["at_s"] > seen["length_s"] - 0.1}


def live(page: Browser, url: str, player: str, folder: Path) -> Figures:
    """A conversation for a while with the browser's own made-up microphone."""
    load(page, url, "live", f"lang=en&player={player}")
    page.wait("document.querySelector('.ft-live')?.page && document.querySelector('#ft-live-pass [data-token]')")
    page.click(".ft-live [data-do=start]")
    time.sleep(TALK_S)
    (folder / f"live-{player}.png").write_bytes(page.picture())
    seen: Figures = page.evaluate(LIVE)
    page.click(".ft-live [data-do=start]")
    return seen | {"held": seen["state"] == "live" and seen["player"] == player and seen["painted"] > LEAST_PICTURES}


def long(page: Browser, url: str, folder: Path) -> Figures:
    """A long film, watched while it grows; then it is given up."""
    load(page, url, "long")
    page.click("#ft-long-go")
    film = "document.querySelector('.ft-long video')"
    page.wait(f"{film}.readyState > 2", FILM_PATIENCE_S)
    time.sleep(LONG_S)
    (folder / "long.png").write_bytes(page.picture())
    seen: Figures = page.evaluate(
        f"const film = {film}; return {{ at_s: film.currentTime, paused: film.paused, hls: !!window.Hls }}"
    )
    for _sure in range(2):
        page.evaluate("document.querySelector('.ft-long [data-do=cancel]').click()")
    return seen | {"held": not seen["paused"] and seen["at_s"] > 1}


def compare(page: Browser, url: str, folder: Path) -> Figures:
    """Two films side by side: in step, one of them heard, what differs drawn."""
    load(page, url, "compare")
    page.evaluate(APART)
    page.click("#ft-compare-go")
    page.wait("document.querySelector('#ft-compare [data-start]')", COMPARE_PATIENCE_S)
    time.sleep(1)
    needs_press = page.evaluate(COMPARED)["pressed"] == "false"
    if needs_press:
        page.click("#ft-compare [data-play]")
    page.wait("document.querySelector('#ft-compare video').ended")
    (folder / "compare.png").write_bytes(page.picture())
    seen: Figures = page.evaluate(COMPARED)
    apart_s = seen.pop("apart_s")
    seen |= {"asked_for_a_press": needs_press, "apart_p95_s": round(statistics.quantiles(apart_s, n=20)[-1], 4)}
    return seen | {
        "held": seen["apart_p95_s"] < MOST_APART_S and seen["muted"] == [False, True] and 0 < seen["difference"] < 20
    }


def soak(name: str, url: str, folder: Path) -> Figures:
    """All of it in one browser; `folder` gets the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[Browser], Figures]] = {
        "looks": lambda page: looks(page, url, folder),
        "film": lambda page: film(page, url),
        "late_film": lambda page: film(page, url, HOLD_CALLS),
        "live": lambda page: live(page, url, "webcodecs", folder),
        "live_without_webcodecs": lambda page: live(page, url, "mse", folder),
        "long": lambda page: long(page, url, folder),
        "compare": lambda page: compare(page, url, folder),
    }
    with tempfile.TemporaryDirectory() as own, browser(name, Path(own)) as page:
        page.open(url)
        found = {part: tried(page, act) for part, act in parts.items()}
        version, complaints = page.evaluate("return navigator.userAgent"), sorted(set(page.complaints()))
    held = not complaints and all(figures["held"] for figures in found.values())
    return {"browser": version, **found, "complaints": complaints, "held": held}


def tried(page: Browser, act: Callable[[Browser], Figures]) -> Figures:
    """Its figures, or what went wrong: the parts after it are looked at, too."""
    try:
        return act(page)
    except Refused as error:
        return {"refused": str(error), "held": False}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak_browsers", description=__doc__)
    parser.add_argument("--browsers", nargs="+", choices=["firefox", "webkit"], default=["firefox", "webkit"])
    parser.add_argument("--pictures", type=Path, default=Path("out/soak/browsers"), help="where pictures go")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as app:
        for name in asked.browsers:
            lacks = missing(name)
            figures[name] = {"not_here": lacks} if lacks else soak(name, app.url, asked.pictures / name)
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    if asked.json:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    raise SystemExit(not all(figure.get("held", True) for figure in figures.values()))


if __name__ == "__main__":
    main()
