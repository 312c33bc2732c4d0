"""Pictures of the app for the documents: `python -m tests.ui.pictures --out docs/pictures` draws them anew.

Every tab with a talking face in it, light, dark and on a phone; each picture is below 400 KB.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.ui.kit import CHROMIUM, Served, serve
from tests.ui.live_browser import FAKE, make_speech

WIDE, PHONE = (1280, 900), (390, 844)
LARGEST_BYTES = 400_000
COLOURS = 256
PATIENCE_MS = 240_000
TALKS = "document.querySelector('{}')?.currentTime > {}"


def film(page: Page) -> None:
    """The first tab, three seconds into Anna's film."""
    page.click("#ft-card-0")
    page.wait_for_function(TALKS.format("#ft-video video", 2.6), timeout=PATIENCE_MS)


def live(page: Page) -> None:
    """A conversation under way; the microphone plays a file."""
    page.click('[data-do="start"]')
    page.wait_for_selector(".ft-live.ft-live-painted", timeout=PATIENCE_MS)
    page.wait_for_timeout(6000)


def long(page: Page) -> None:
    """A long film, watched while it grows."""
    page.click("#ft-long-go")
    page.wait_for_function("document.querySelector('.ft-long video').readyState > 2", timeout=PATIENCE_MS)
    page.evaluate("document.querySelector('.ft-long video').play()")
    page.wait_for_function(TALKS.format(".ft-long video", 3), timeout=PATIENCE_MS)


def compare(page: Page) -> None:
    """Two films side by side with their figures."""
    page.click("#ft-compare-go")
    page.wait_for_selector("#ft-compare [data-start]", timeout=PATIENCE_MS)
    page.wait_for_function(TALKS.format("#ft-compare video", 1), timeout=PATIENCE_MS)


TABS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "film": ("Film", film),
    "live": ("Live", live),
    "long": ("Long video", long),
    "compare": ("Compare", compare),
}


@contextmanager
def opened(served: Served, folder: Path) -> Iterator[Page]:
    """The page in a browser whose microphone hears a voice."""
    hears = f"--use-file-for-fake-audio-capture={make_speech(folder / 'speech.wav')}"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE, hears])
        size = {"width": WIDE[0], "height": WIDE[1]}
        context = browser.new_context(viewport=size, locale="en-US", permissions=["microphone"])
        page = context.new_page()
        page.goto(served.url)
        page.wait_for_selector("html[data-stands]", timeout=PATIENCE_MS)
        yield page
        browser.close()


def draw(page: Page, name: str, folder: Path) -> None:
    """One tab's three pictures."""
    title, talk = TABS[name]
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    page.get_by_role("tab", name=title, exact=True).click()
    talk(page)
    for kind, shade, (width, height) in (("light", "light", WIDE), ("dark", "dark", WIDE), ("phone", "light", PHONE)):
        page.emulate_media(color_scheme=shade)
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(700)
        save(
            page.screenshot(full_page=kind != "phone" and name in ("film", "compare")),
            folder / f"app-{name}-{kind}.png",
        )


def save(png: bytes, path: Path) -> None:
    """With fewer colours, and smaller if that is not enough."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        # Quantised twice: only with a palette given does the second one spread what is left over.
        palette = picture.quantize(COLOURS)
        picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size < LARGEST_BYTES:
            return
        picture = picture.resize((picture.width * 7 // 8, picture.height * 7 // 8), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tabs", nargs="+", choices=TABS, default=list(TABS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as served, opened(served, Path(folder)) as page:
        for name in options.tabs:
            draw(page, name, options.out)


if __name__ == "__main__":
    main()
