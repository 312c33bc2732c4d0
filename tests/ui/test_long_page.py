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
from tests.ui.kit import needs_chromium

pytest.importorskip("playwright")
pytestmark = needs_chromium

ADDRESS = "http://talk.test/"
START = """<script type="module">
window.flashtalkPage = { told: (words) => words };
import("/ft/public/static/long_video.js").then((module) => { module.start(document.body); window.isThere = true; });
</script>"""
LOOK = "() => window.flashtalkLong.look()"
NOTE, FIGURES = ".ft-long-note", ".ft-long-figures"
POLL = "() => document.dispatchEvent(new Event('visibilitychange'))"
ORDER = "() => window.flashtalkLong.order(['face', ''])"
LOST = "The server does not answer; trying again."
PLACE = """() => {
  const { dataset, className } = document.activeElement;
  return [document.activeElement.closest(".ft-long-film")?.dataset.id, dataset.do ?? className];
}"""
"""The film that has the focus, and which of its buttons."""
NEXT = {"pause": "paused", "resume": "rendering", "cancel": "cancelled"}
TIMEOUT_MS = 20_000
DOUBLE_MS = 600
"""More than two clicks of a double click are apart."""


def film(name: str, state: str = "rendering", **more: object) -> dict[str, Any]:
    """As the app tells it; of ten seconds, a second of which is made, but none to be seen yet."""
    tree: dict[str, Any] = {"id": name, "state": state, "title": f"Film {name}", "created_s": 0.0, "chunks": 0}
    tree |= {"frames": 25, "goal_frames": 250, "frames_a_second": 25, "seconds": 10.0, "made_fps": 5, "left_s": 45.0}
    tree |= {"bytes": 1_000_000, "kept_until_s": 86400.0, "span_s": None, "reason": "", "place": None}
    return tree | {"media": f"ft/jobs/media/{name}/"} | more


@dataclass
class House:
    """What the page asks. refusal: of what is done to a film. broken: comes instead of every answer.

    holds: answers wait until they are let go. obeys: at once.
    """

    films: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    broken: str = ""
    holds: bool = False
    obeys: bool = True
    held: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Orders of parts to be made again."""

    def answer(self, route: Any) -> None:
        path = urlsplit(route.request.url).path
        if path == "/":
            page = f'<!doctype html><html lang="en"><body>{markup(Texts(TEXTS))}{START}'
            route.fulfill(body=page, content_type="text/html; charset=utf-8")
        elif path.startswith("/ft/public/static/"):
            route.fulfill(path=STATIC / path.removeprefix("/ft/public/static/"))
        elif path.startswith("/ft/jobs"):
            refused = self.refusal and path.count("/") > 3
            tree = {"error": self.refusal} if refused else self.told(path.split("/")[3:], route.request)
            answer = {"status": 409 if refused else 200, "body": self.broken or json.dumps(tree)}
            self.held.append((route, answer))
            if not self.holds:
                self.let_go()
        else:
            route.fulfill(status=404)

    def let_go(self) -> None:
        self.holds = False
        while self.held:
            route, answer = self.held.pop(0)
            route.fulfill(**answer, content_type="application/json")

    def told(self, asked: list[str], request: Any) -> Any:
        if asked == ["visitor"]:
            return {"visitor": "me"}
        if asked[1:] == ["again"]:
            self.parts.append(request.post_data_json)
            self.films.insert(0, film(f"part{len(self.parts)}"))
            return self.films[0]
        if len(asked) == 1:
            (one,) = (one for one in self.films if one["id"] == asked[0])
            start = (one["span_s"] or [0])[0]
            return one | {"drift": [[start, 1, 1, 0], [start + 1, 0.9, 1, 1]]}
        if len(asked) == 2:
            self.do(*asked)
        return {one["id"]: one for one in self.films}

    def do(self, name: str, action: str) -> None:
        if action == "remove":
            self.films[:] = [one for one in self.films if one["id"] != name]
        for one in self.films if self.obeys else ():
            if one["id"] == name:
                one["state"] = NEXT[action]


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


def surely(page: Any) -> None:
    """Once more, later than a double click."""
    page.wait_for_timeout(DOUBLE_MS)
    page.keyboard.press("Enter")


def rows(page: Any) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('.ft-long-film')].map((row) => row.dataset.id)"))


def told(page: Any, words: str, timeout_ms: int = TIMEOUT_MS) -> None:
    says = "([at, words]) => document.querySelector(at).textContent.startsWith(words)"
    page.wait_for_function(says, arg=[NOTE, words], timeout=timeout_ms)


def test_who_presses_a_key_keeps_the_place_in_the_list(page: Any) -> None:
    press(page, "a", ".ft-long-name")
    page.wait_for_selector("[data-id=a][aria-current]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"]
    press(page, "a", "[data-do=pause]")
    page.wait_for_selector("[data-id=a][data-state=paused]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"], "its button is gone: the row's first has the focus"
    press(page, "a", "[data-do=cancel]")
    surely(page)
    page.wait_for_selector("[data-id=a][data-state=cancelled]")
    assert page.evaluate(PLACE) == ["a", "ft-long-name"]
    press(page, "a", "[data-do=remove]")
    surely(page)
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


def test_a_film_without_a_seat_says_its_place_and_not_that_it_is_made(page: Any, house: House) -> None:
    house.films[0]["place"] = 3
    page.evaluate(LOOK)
    assert page.locator(NOTE).text_content() == "Film b: Waiting for a seat, place 3"
    assert page.locator(FIGURES).text_content() == "0:01 / 0:10"


def test_an_answer_that_is_none_takes_nothing_away(page: Any, house: House) -> None:
    house.broken = "<html>A gateway speaks."
    page.evaluate("() => localStorage.removeItem('flashtalk_visitor')")
    page.evaluate(LOOK)
    assert (rows(page), page.locator(NOTE).text_content()) == (["b", "a"], LOST)
    assert page.evaluate("localStorage.getItem('flashtalk_visitor')") is None
    house.broken = ""
    page.evaluate(LOOK)
    house.broken = "null"
    page.evaluate(LOOK)
    assert (rows(page), page.locator(NOTE).text_content()) == (["b", "a"], LOST)


@pytest.mark.parametrize("forget", ["", "localStorage.removeItem('flashtalk_visitor');"], ids=["again", "first"])
def test_a_network_that_swallows_what_is_asked_is_asked_again(forget: str, page: Any, house: House) -> None:
    page.evaluate(
        "() => { const real = AbortSignal.timeout; AbortSignal.timeout = (ms) => real.call(AbortSignal, ms / 50); }"
    )
    house.holds = True
    page.evaluate(f"() => {{ {forget} void ({LOOK})(); }}")
    told(page, LOST, 5000)
    house.holds = False
    house.films.insert(0, film("c"))
    page.wait_for_selector("[data-id=c]")


def test_a_film_that_is_seen_before_its_order_is_answered_is_chosen_all_the_same(page: Any, house: House) -> None:
    page.evaluate(ORDER)
    house.films.insert(0, film("c"))
    page.evaluate(POLL)
    page.wait_for_selector("[data-id=c]")
    assert page.locator("[data-id=c][aria-current]").count() == 0
    page.evaluate(LOOK)
    assert page.locator("[data-id=c][aria-current]").count() == 1
    house.films.insert(0, film("d"))
    page.evaluate(LOOK)
    assert page.locator("[data-id=c][aria-current]").count() == 1, "nobody ordered this one here"


def test_an_older_list_that_comes_later_counts_no_more(page: Any, house: House) -> None:
    house.holds = True
    page.evaluate(f"() => void ({LOOK})()")
    while not house.held:
        page.wait_for_timeout(20)
    house.holds = False
    held, house.held = house.held, []
    house.films.insert(0, film("c"))
    page.evaluate(LOOK)
    assert rows(page) == ["c", "b", "a"]
    seen = "new MutationObserver((all) => all.forEach((one) => (window.gone += one.removedNodes.length)))"
    page.evaluate(
        f"() => {{ window.gone = 0; {seen}.observe(document.querySelector('.ft-long-list'), {{ childList: true }}); }}"
    )
    house.held = held
    house.let_go()
    page.wait_for_timeout(300)
    assert (page.evaluate("window.gone"), rows(page)) == (0, ["c", "b", "a"])


def test_who_has_no_films_is_told_that_the_first_ones_sound_is_being_read(page: Any, house: House) -> None:
    house.films.clear()
    page.evaluate(LOOK)
    told(page, "No films yet")
    page.evaluate(ORDER)
    told(page, "Your sound is being read")
    with page.expect_response("**/ft/jobs"):
        page.evaluate(POLL)
    page.wait_for_timeout(100)
    assert page.locator(NOTE).text_content().startswith("Your sound is being read")
    house.broken = "<html>"
    page.evaluate(POLL)
    told(page, LOST)
    house.broken = ""
    page.evaluate(POLL)
    told(page, "Your sound is being read")
    page.evaluate(LOOK)
    told(page, "No films yet")


def test_a_part_is_ordered_once_until_it_is_answered(page: Any, house: House) -> None:
    house.films[0] |= {"state": "done", "chunks": 2, "frames": 250}
    again = page.locator(".ft-long-again button")
    again.wait_for()
    house.broken = "<html>"
    again.click()
    told(page, LOST)
    house.broken, house.holds = "", True
    again.dblclick()
    while len(house.parts) < 3:
        page.wait_for_timeout(20)
    house.let_go()
    page.wait_for_selector("[data-id=part3]")
    page.locator("[data-id=b] .ft-long-name").click()
    again.click()
    page.wait_for_selector("[data-id=part4]")
    first, *more, last = house.parts
    assert more == [first, first]
    assert last["key"] != first["key"]


def test_the_end_of_any_film_may_be_made_again(page: Any, house: House) -> None:
    house.films[0] |= {"state": "done", "chunks": 2, "frames": 1534, "seconds": 61.36}
    page.wait_for_selector(".ft-long-again")
    at = "Object.defineProperty(video, 'currentTime', { get: () => 60, set() {} })"
    page.evaluate(
        f"() => {{ const video = document.querySelector('video'); {at}; video.dispatchEvent(new Event('pause')); }}"
    )
    fields = [page.locator(f".ft-long-again [name={name}]").input_value() for name in ("from", "to")]
    assert fields == ["60.0", "61.4"]
    assert page.evaluate("document.querySelector('.ft-long-again').checkValidity()")


def test_what_a_pause_answered_stays_until_it_has_come(page: Any, house: House) -> None:
    house.obeys = False
    press(page, "b", "[data-do=pause]")
    told(page, "Stops at the end of this chunk")
    page.evaluate(LOOK)
    assert page.locator(NOTE).text_content() == "Stops at the end of this chunk"
    press(page, "a", ".ft-long-name")
    told(page, "Film a: Being made")
    press(page, "b", ".ft-long-name")
    told(page, "Stops at the end of this chunk")
    house.obeys, house.films[0]["state"] = True, "paused"
    page.evaluate(LOOK)
    told(page, "Film b: Paused")
    press(page, "b", "[data-do=resume]")
    told(page, "Film b: Being made")


def test_the_chart_of_a_part_is_of_its_own_seconds_and_is_not_changed_under_a_press(page: Any, house: House) -> None:
    house.films[0] |= {"chunks": 2, "frames": 50, "goal_frames": 100, "span_s": [240.0, 244.0]}
    page.wait_for_selector(".ft-long-plot")
    assert page.locator(".ft-long-plot span").all_text_contents() == ["4:00", "4:02"]
    points = page.locator("polyline.ft-long-likeness").get_attribute("points")
    assert [float(point.split(",")[0]) for point in points.split()] == [0, 200]
    page.evaluate(
        "() => Object.defineProperty(document.querySelector('video'), 'currentTime', { set: (at) => (window.at = at) })"
    )
    box = page.locator(".ft-long-plot svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.evaluate(LOOK)
    page.mouse.up()
    assert page.evaluate("window.at") == pytest.approx(241, abs=0.02)


def test_what_cannot_be_undone_is_no_double_click_and_no_held_key(page: Any, house: House) -> None:
    page.locator("[data-id=a] [data-do=cancel]").dblclick()
    page.locator("[data-id=b] [data-do=cancel]").focus()
    for _ in range(4):  # from the second time on it is held
        page.keyboard.down("Enter")
        page.wait_for_timeout(DOUBLE_MS / 2)
    page.keyboard.up("Enter")
    assert [one["state"] for one in house.films] == ["rendering", "rendering"]
    page.keyboard.press("Enter")
    page.locator("[data-id=a] [data-do=cancel]").click()
    page.wait_for_selector("[data-id=a][data-state=cancelled]")
    assert [one["state"] for one in house.films] == ["cancelled", "cancelled"]
