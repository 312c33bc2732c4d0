"""The long-video tab's page in chromium before films of the test's own: who keeps the focus, and what is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashtalk.ui.long_page import TEXTS, markup
from flashtalk.ui.texts import Texts
from flashtalk.ui.theme import STATIC
from tests.ui.kit import CHROMIUM, needs_chromium

pytest.importorskip("playwright")
pytestmark = needs_chromium

ADDRESS = "http://talk.test/"
START = """<script type="module">
window.flashtalkPage = { told: (words) => words };
import("/ft/public/static/long_video.js").then((module) => { module.start(document.body); window.isThere = true; });
</script>"""
LOOK = "() => window.flashtalkLong.look()"
NOTE, FIGURES = ".ft-long-note", ".ft-long-figures"
PLACE = """() => {
  const { dataset, className } = document.activeElement;
  return [document.activeElement.closest(".ft-long-film")?.dataset.id, dataset.do ?? className];
}"""
"""The film that has the focus, and which of its buttons."""
NEXT = {"pause": "paused", "resume": "rendering", "cancel": "cancelled"}
TIMEOUT_MS = 20_000


def film(name: str, state: str = "rendering", **more: object) -> dict[str, Any]:
    """As the app tells it; of ten seconds, a second of which is made, but none to be seen yet."""
    tree: dict[str, Any] = {"id": name, "state": state, "title": f"Film {name}", "created_s": 0.0, "chunks": 0}
    tree |= {"frames": 25, "goal_frames": 250, "frames_a_second": 25, "seconds": 10.0, "made_fps": 5, "left_s": 45.0}
    tree |= {"bytes": 1_000_000, "kept_until_s": 86400.0, "span_s": None, "reason": "", "place": None}
    return tree | {"media": f"ft/jobs/media/{name}/"} | more


@dataclass
class House:
    """What the page asks. refusal: of what is done to a film."""

    films: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""

    def answer(self, route: Any) -> None:
        path = urlsplit(route.request.url).path
        if path == "/":
            page = f'<!doctype html><html lang="en"><body>{markup(Texts(TEXTS))}{START}'
            route.fulfill(body=page, content_type="text/html; charset=utf-8")
        elif path.startswith("/ft/public/static/"):
            route.fulfill(path=STATIC / path.removeprefix("/ft/public/static/"))
        elif path.startswith("/ft/jobs"):
            refused = self.refusal and path.count("/") > 3
            tree = {"error": self.refusal} if refused else self.told(path.split("/")[3:])
            route.fulfill(status=409 if refused else 200, body=json.dumps(tree), content_type="application/json")
        else:
            route.fulfill(status=404)

    def told(self, asked: list[str]) -> Any:
        if asked == ["visitor"]:
            return {"visitor": "me"}
        if len(asked) == 2:
            self.do(*asked)
        return {one["id"]: one for one in self.films}

    def do(self, name: str, action: str) -> None:
        if action == "remove":
            self.films[:] = [one for one in self.films if one["id"] != name]
        for one in self.films:
            if one["id"] == name:
                one["state"] = NEXT[action]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def house() -> House:
    return House([film("b"), film("a")])


@pytest.fixture
def page(browser: Any, house: House) -> Iterator[Any]:
    opened, problems = browser.new_page(), list[str]()
    opened.set_default_timeout(TIMEOUT_MS)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.route("**/*", house.answer)
    opened.goto(ADDRESS)
    opened.wait_for_function("window.isThere && document.querySelectorAll('.ft-long-film').length === 2")
    yield opened
    opened.close()
    assert problems == []


def press(page: Any, name: str, button: str) -> None:
    """By the keyboard."""
    page.locator(f"[data-id={name}] {button}").focus()
    page.keyboard.press("Enter")


def test_who_presses_a_key_keeps_the_place_in_the_list(page: Any) -> None:
    press(page, "a", ".ft-long-name")
    page.wait_for_selector("[data-id=a][aria-current]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"]
    press(page, "a", "[data-do=pause]")
    page.wait_for_selector("[data-id=a][data-state=paused]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"], "its button is gone: the row's first has the focus"
    press(page, "a", "[data-do=cancel]")
    page.keyboard.press("Enter")  # surely
    page.wait_for_selector("[data-id=a][data-state=cancelled]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"]
    press(page, "a", "[data-do=remove]")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.ft-long-film').length === 1")
    assert page.evaluate(PLACE) == ["b", "ft-long-name"], "the row beside it"


def test_a_change_of_other_films_or_of_the_own_state_takes_the_focus_from_nobody(page: Any, house: House) -> None:
    page.locator("[data-id=a] [data-do=cancel]").focus()
    page.evaluate("() => { window.lost = 0; document.activeElement.addEventListener('blur', () => window.lost++); }")
    house.films[0]["state"] = "paused"
    house.films.insert(0, film("c"))
    page.evaluate(LOOK)
    rows = "[...document.querySelectorAll('.ft-long-film')].map((row) => row.dataset.id + row.dataset.state)"
    assert page.evaluate(rows) == ["crendering", "bpaused", "arendering"]
    assert (page.evaluate("window.lost"), page.evaluate(PLACE)) == (0, ["a", "cancel"])
    house.films[2]["state"] = "paused"
    page.evaluate(LOOK)
    assert page.evaluate(rows)[2] == "apaused"
    assert page.evaluate(PLACE) == ["a", "cancel"]


def test_nobody_is_given_a_focus_who_was_elsewhere(page: Any, house: House) -> None:
    page.evaluate("() => document.activeElement.blur()")
    house.films[1]["state"] = "paused"
    page.evaluate(LOOK)
    assert page.evaluate("document.activeElement === document.body")


def test_a_refusal_stays_until_the_next_press(page: Any, house: House) -> None:
    house.refusal = "Not now."
    press(page, "b", "[data-do=pause]")
    page.wait_for_function(f"document.querySelector('{NOTE}').textContent === 'Not now.'")
    house.films.reverse()
    page.evaluate(LOOK)
    assert page.locator(NOTE).text_content() == "Not now."
    press(page, "a", ".ft-long-name")
    page.wait_for_function(f"document.querySelector('{NOTE}').textContent.startsWith('Film a: ')")


def test_what_runs_is_shown_and_only_what_changes_is_spoken(page: Any, house: House) -> None:
    page.wait_for_function(f"document.querySelector('{NOTE}').textContent === 'Film b: Being made'")
    watch = "new MutationObserver((seen) => (window.spoken += seen.length)).observe(document.querySelector('{}'), {})"
    deep = "{ childList: true, characterData: true, subtree: true }"
    page.evaluate("() => { window.spoken = 0; " + watch.format(NOTE, deep) + "; }")
    for second in (2, 3, 4):
        house.films[0] |= {"frames": 25 * second, "made_fps": 5 + second, "left_s": 45.0 - second}
        page.evaluate(LOOK)
        assert (
            page.locator(FIGURES).text_content()
            == f"0:0{second} / 0:10 · {5 + second} frames a second · 0:{45 - second} left"
        )
    assert page.evaluate("window.spoken") == 0
    assert page.evaluate(f"document.querySelector('{FIGURES}').closest('[role=status], [aria-live]')") is None
    house.films[0]["state"] = "paused"
    page.evaluate(LOOK)
    assert page.locator(NOTE).text_content().startswith("Film b: Paused · 0:04 / 0:10 · 1.0 MB, kept until")
    assert page.locator(FIGURES).text_content() == ""
