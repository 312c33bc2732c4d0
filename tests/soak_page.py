"""`python -m tests.soak_page --films 12`: films that play in Chromium while they are made, figures as JSON.

From the command of `make demo` to the page; from the press to the first painted frame, stalls, and what each chunk took
meanwhile. Run by `make soak`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Page, sync_playwright

from tests.ui.film_browser import Shown, shown_film
from tests.ui.kit import CHROMIUM, Served, starting, wait_until_up

CARDS = 6
MOST_UP_S = 60.0
MOST_PAINTED_S = 2.0
FLAGS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]


def watch(folder: Path, films: int) -> tuple[float, list[Shown]]:
    """Seconds until the page is up; then each of our faces in turn, each on a fresh page."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, began_s = browser.new_page(), time.monotonic()
        with starting(folder) as app:
            meet(page, app)
            up_s, shown = time.monotonic() - began_s, []
            for film in range(films):
                page.goto(app.url)
                page.wait_for_selector("#ft-make")
                shown.append(shown_film(page, f"#ft-card-{film % CARDS}"))
        browser.close()
    return up_s, shown


def meet(page: Page, app: Served) -> None:
    """As somebody who opens the address at once and waits; until the page stands and /ready says yes."""
    deadline_s = time.monotonic() + MOST_UP_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(Error):
            page.goto(app.url)
            break
        time.sleep(0.1)
    page.wait_for_selector("html[data-stands]", timeout=2000 * MOST_UP_S)
    page.locator("#ft-make").wait_for()
    wait_until_up(app)


def figures(up_s: float, shown: list[Shown]) -> dict[str, Any]:
    """Seconds; stalls with the place in the film."""
    took_s = [chunk_s for film in shown for chunk_s in film.took_s]
    return {
        "up_s": round(up_s, 1),
        "films": len(shown),
        "painted_s": [round(film.painted_s, 3) for film in shown],
        "painted_median_s": round(statistics.median(film.painted_s for film in shown), 3),
        "chunk_median_s": round(statistics.median(took_s), 3),
        "chunk_slowest_s": round(max(took_s), 3),
        "stalls": [[round(at_s, 2), round(place_s, 2)] for film in shown for at_s, place_s in film.real_stalls],
        "pauses": sum(film.pauses for film in shown),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=12)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figure = figures(*watch(Path(folder), options.films))
    found = json.dumps(figure, indent=1)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(found + "\n", encoding="utf-8")
    print(found)
    late = figure["up_s"] > MOST_UP_S or max(figure["painted_s"]) > MOST_PAINTED_S
    raise SystemExit(bool(late or figure["stalls"] or figure["pauses"]))


if __name__ == "__main__":
    main()
