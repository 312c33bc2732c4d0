"""How the page behaves in chromium: nothing jumps, nothing comes from elsewhere, all of it by keyboard and readable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from flashtalk.ui.why import CHINESE
from tests.source import ROOT, demand
from tests.ui.kit import CHROMIUM, Served, needs_chromium
from tests.ui.live_browser import FAKE
from tests.ui.manners_kit import NAME, PASSWORD
from tests.ui.manners_kit import page as page_of
from tests.ui.page_kit import busy_page

pytestmark = [needs_chromium, pytest.mark.slow]

TABS = 4
MOST_SHIFT = 0.05
LEAST_CONTRAST, LEAST_LARGE_CONTRAST = 4.5, 3.0
PATIENCE_MS = 180_000
HOUSE_MS = 5000
"""The page has asked again by then."""
SETTLED_MS = 300
NO_ROOM = json.dumps({"error": "The server has no room for this file just now; try a smaller one, or later."})
CHUNK_S = 5.0
"""Nothing comes of a film for so long."""
FACE = ROOT / "assets/portraits/omar.png"

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) {
    window.shifts.push([one.value, one.sources.map(({ node }) => node?.className || node?.id || node?.nodeName)]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""

CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = (text.match(/[\\d.]+(?:e-?\\d+)?/g) || [0, 0, 0, 0]).map(Number);
    return text.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, below) => top.slice(0, 3).map((x, i) => x * top[3] + below[i] * (1 - top[3]));
  const light = (c) => {
    const [r, g, b] = c.map((x) => x / 255).map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== "none") return null;
      layers.unshift(parse(style.backgroundColor));
    }
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const skipped = "script, style, option, dialog, :disabled, [aria-hidden=true], .ft-card, .ft-thumb, .ft-unseen";
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement, words = node.textContent.trim();
    if (!words || !parent.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (parent.closest(skipped)) continue;
    const back = ground(parent), style = getComputedStyle(parent);
    if (!back || !parent.getClientRects().length) continue;
    let seen = 1;
    for (let at = parent; at; at = at.parentElement) seen *= Number(getComputedStyle(at).opacity);
    const ink = parse(style.color);
    ink[3] *= seen;
    const [a, b] = [light(over(ink, back)), light(back)].sort((x, y) => y - x);
    const px = parseFloat(style.fontSize), large = px >= 24 || (px >= 18.66 && Number(style.fontWeight) >= 700);
    found.push([(a + 0.05) / (b + 0.05), large, words.slice(0, 40), parent.className || parent.tagName]);
  }
  return found;
}"""

CONTROLS = """() => [...document.querySelectorAll("button, a[href], input, select, textarea, [tabindex]")].filter(
  (one) =>
  one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true }) && !one.closest("[inert]")
  && !(one.type === "radio" && !one.checked) && one.type !== "file" && one.tagName !== "VIDEO"
).map((one) => { one.dataset.control ||= String(window.controls = (window.controls || 0) + 1);
  return [one.dataset.control, one.outerHTML.slice(0, 160)]; })"""

FOCUS = """() => {
  const one = document.activeElement, ring = [one, one.nextElementSibling, one.parentElement].some((at) => {
    const style = at && getComputedStyle(at);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  });
  return [one.dataset.control || "", ring, one.outerHTML.slice(0, 160)];
}"""

UNFOLD = (
    """() => document.querySelectorAll(".label-wrap:not(.open)").forEach((one) => one.offsetParent && one.click())"""
)
RUNNING = """() => document.getAnimations().filter((one) => one.playState === "running")
  .map((one) => `${one.effect.target.className} ${one.effect.pseudoElement} ${one.animationName}`)"""

SAID = """() => [...document.querySelectorAll("body *:not(script, style)")].filter(
  (one) => one.checkVisibility({ visibilityProperty: true })
).flatMap((one) => [
  ...[...one.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()),
  ...["aria-label", "placeholder", "title", "alt"].map((name) => one.getAttribute(name) || ""),
])"""

NOTHING_KEPT = """
for (const name of ["localStorage", "sessionStorage"]) {
  const get = () => { throw new DOMException("denied", "SecurityError"); };
  Object.defineProperty(window, name, { configurable: true, get });
}
Object.defineProperty(document, "cookie", { get: () => "", set() {} });
"""
CUT_NAMES = """() => [...document.querySelectorAll(".ft-variant input[role=combobox]")]
  .filter((one) => !one.offsetParent || one.scrollWidth > one.clientWidth)
  .map((one) => [one.value, one.scrollWidth, one.clientWidth])"""

# Names and what is written the same in every language.
SAME_WORDS = re.compile(
    r"Anna|Bruno|Marco|Omar|Ruth|Sofia|FlashTalk|AI-generated|API|AI|CPU|GPU|bf16|fp16|float32|small|fake|mp4|https?|localhost|espeak-ng|EN|MB|ms|[A-D]\b|fps|s\b|px"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE])
        yield opened
        opened.close()


@contextmanager
def visit(
    browser: Browser,
    address: str,
    width: int = 1280,
    height: int = 900,
    *,
    own_clock: bool = False,
    before: str = "",
    **wishes: Any,
) -> Iterator[Page]:
    """A new visitor's page; `problems` are what a developer would see in red, and answers from elsewhere.

    own_clock: its time can be put forward. before: JavaScript that runs before the page's own.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **({"locale": "en-US"} | wishes))
    context.add_init_script(SHIFTS + before)
    page = context.new_page()
    page.problems = []  # type: ignore[attr-defined]
    tell, home = page.problems.append, urlsplit(address).netloc  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: tell(f"script: {error}"))
    page.on("console", lambda message: tell(f"console: {message.text}") if message.type == "error" else None)
    page.on("response", lambda answer: tell(f"{answer.status}: {answer.url}") if answer.status >= 400 else None)
    page.on("request", lambda request: tell(f"elsewhere: {request.url}") if is_foreign(request.url, home) else None)
    if own_clock:
        page.clock.install()
    page.goto(address + "/")
    page.wait_for_selector("html[data-stands]", timeout=PATIENCE_MS)
    yield page
    context.close()


def is_foreign(url: str, home: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in ("data", "blob") and parts.netloc != home


def tabs(page: Page) -> Iterator[str]:
    """Shows one tab after the other, all folded parts open."""
    for number in range(TABS):
        tab = page.get_by_role("tab").nth(number)
        tab.click()
        page.evaluate(UNFOLD)
        page.wait_for_timeout(300)
        yield tab.inner_text()


def shifted(page: Page) -> float:
    """Sum of what moved since the last look, with its sources in the failure."""
    seen = page.evaluate("window.shifts.splice(0)")
    total = sum(value for value, _ in seen)
    assert total <= MOST_SHIFT, seen
    return total


def test_nothing_jumps_and_nothing_comes_from_elsewhere(browser: Browser, served: Served) -> None:
    with visit(browser, served.url) as page:
        page.wait_for_function("document.fonts.status === 'loaded'")
        page.wait_for_timeout(1500)
        shifted(page)
        for number in range(TABS):
            page.get_by_role("tab").nth(number).click()
            page.wait_for_timeout(1000)
            shifted(page)
        page.get_by_role("tab").nth(0).click()
        page.click("#ft-card-3")
        page.wait_for_selector(".ft-save", timeout=PATIENCE_MS)
        shifted(page)
        assert page.evaluate("[...document.fonts].filter((one) => one.status === 'loaded').length") >= 2
        demand("The page loads without a fault, and from its own server only:", page.problems)  # type: ignore[attr-defined]


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_all_of_it_can_be_read_and_fits(browser: Browser, served: Served, shade: Any) -> None:
    with visit(browser, served.url, color_scheme=shade, reduced_motion="reduce") as page:
        assert page.evaluate("document.body.classList.contains('dark')") is (shade == "dark")
        for tab in tabs(page):
            faint = [
                f"{tab}: {ratio:.2f} {words!r} ({where})"
                for ratio, large, words, where in page.evaluate(CONTRAST)
                if ratio < (LEAST_LARGE_CONTRAST if large else LEAST_CONTRAST)
            ]
            demand(f"Text in {shade} stands out against what is behind it:", faint)
            for width in (320, 390, 768, 1280, 1920):
                page.set_viewport_size({"width": width, "height": 844})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (tab, width)
            page.set_viewport_size({"width": 1280, "height": 900})


def test_all_of_it_works_by_keyboard_and_has_names(browser: Browser, served: Served) -> None:
    with visit(browser, served.url) as page:
        for tab in tabs(page):
            controls = dict(page.evaluate(CONTROLS))
            page.evaluate("document.activeElement.blur()")
            reached: set[str] = set()
            for _ in range(3 * len(controls)):
                page.keyboard.press("Tab")
                number, has_ring, what = page.evaluate(FOCUS)
                if number in reached:
                    break
                assert has_ring or not number, f"{tab}: no ring around {what}"
                reached.add(number) if number else None
            demand(f"{tab}: reached by the Tab key:", [what for one, what in controls.items() if one not in reached])
            demand(f"{tab}: controls have names:", nameless(page))


def nameless(page: Page) -> list[str]:
    devtools = page.context.new_cdp_session(page)
    nodes = devtools.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "textbox", "spinbutton", "slider", "checkbox", "radio", "combobox", "tab"}
    found = [
        node
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in roles and not node["name"].get("value", "").strip()
    ]
    return [describe(devtools, node["backendDOMNodeId"]) for node in found if "backendDOMNodeId" in node]


def describe(devtools: Any, number: int) -> str:
    return str(devtools.send("DOM.getOuterHTML", {"backendNodeId": number})["outerHTML"])[:200]


def test_chinese_is_chinese_everywhere(browser: Browser, served: Served) -> None:
    with visit(browser, served.url) as page:
        page.click('[data-language="zh"]')
        page.wait_for_function(
            "document.querySelector('#ft-make')?.innerText.trim() === '开始说话'", timeout=PATIENCE_MS
        )
        assert page.evaluate("document.documentElement.lang").startswith("zh")
        for tab in tabs(page):
            said = page.evaluate(SAID)
            foreign = {line for line in said if re.search(r"[A-Za-z]{2,}", SAME_WORDS.sub("", line))}
            demand(f"{tab}: no English left:", sorted(foreign))


def test_errors_are_chinese_on_a_chinese_page(browser: Browser, served: Served, tmp_path: Path) -> None:
    """The film's, the long film's notice with its title, and what the page refuses by itself."""
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.4")
    with visit(browser, served.url, locale="zh-CN") as page:
        page.evaluate("localStorage.setItem('flashtalk_consent', 'yes')")
        told, upload = page.locator(".toast-body"), "**/gradio_api/upload*"
        page.route(upload, lambda route: route.fulfill(status=507, body=NO_ROOM))
        page.set_input_files("#ft-face input[type=file]", tmp_path / "dot.png")
        told.wait_for()
        assert "服务器目前没有空间存放该文件" in told.inner_text()
        page.unroute(upload)
        page.click(".toast-close")
        told.wait_for(state="detached")
        page.set_input_files("#ft-face input[type=file]", tmp_path / "dot.png")
        page.set_input_files("#ft-voice input[type=file]", tmp_path / "letter.pdf")
        told.wait_for()
        assert "letter.pdf 不是声音" in told.inner_text()
        page.click(".ft-chip >> nth=0")
        page.wait_for_selector("#ft-face img")
        page.wait_for_selector("#ft-voice input[type=file]", state="detached")
        page.click("#ft-make")
        page.wait_for_selector("#ft-status .ft-failed")
        assert page.locator("#ft-status").inner_text() == CHINESE["image_limits"]
        page.get_by_role("tab").nth(2).click()
        page.click("#ft-long-face button[aria-label='移除照片']")
        page.click("#ft-long-go")
        page.wait_for_function(f"document.body.innerText.includes('{CHINESE['no_portrait']}')")
        said = {line for notice in page.locator(".toast-body").all_inner_texts() for line in notice.splitlines()}
        assert {line for line in said if re.search(r"[A-Za-z]{5,}", line.replace("letter", ""))} == set()


def test_a_browser_that_keeps_nothing_sees_the_page_and_its_language(browser: Browser, served: Served) -> None:
    with visit(browser, served.url, before=NOTHING_KEPT) as page:
        page.click('[data-language="zh"]')
        page.wait_for_selector("html[data-stands]:lang(zh)", timeout=PATIENCE_MS)
        page.click("#ft-make")
        page.wait_for_selector("#ft-status .ft-failed")
        assert page.locator("#ft-status").inner_text() == CHINESE["no_portrait"]
        assert page.problems == []  # type: ignore[attr-defined]


def test_the_language_is_not_changed_over_work_unasked_and_a_reload_keeps_the_tab(
    browser: Browser, served: Served
) -> None:
    with visit(browser, served.url) as page:
        dialog = page.locator("dialog.ft-leave")
        page.click(".ft-thumb >> nth=0")
        page.click('[data-language="zh"]')
        dialog.wait_for(state="visible")
        page.click(".ft-leave .ft-no")
        assert page.evaluate("document.documentElement.lang") == "en"
        page.get_by_role("tab", name="Long video").click()
        page.click('[data-language="zh"]')
        page.click(".ft-leave .ft-yes")
        page.wait_for_selector("html[data-stands]:lang(zh)", timeout=PATIENCE_MS)
        assert page.get_by_role("tab", selected=True).inner_text() == "长视频"
        page.wait_for_selector("#ft-long", state="visible")
        page.click('[data-language="en"]')
        page.wait_for_selector("html[data-stands]:lang(en)", timeout=PATIENCE_MS)


def test_a_film_whose_server_went_away_is_called_cut(browser: Browser, tmp_path: Path) -> None:
    with busy_page(tmp_path, CHUNK_S) as house, visit(browser, house.address, own_clock=True) as page:
        page.click("#ft-card-1")
        page.wait_for_selector("#ft-status .ft-busy", timeout=PATIENCE_MS)
        page.context.set_offline(True)
        for words in ("Looking at the picture", "Cut off"):
            page.clock.fast_forward(HOUSE_MS)
            page.wait_for_selector(".ft-house[data-state=lost]", timeout=PATIENCE_MS)
            page.wait_for_timeout(SETTLED_MS)
            assert page.locator("#ft-status").inner_text().startswith(words)
        assert page.locator(".ft-status.ft-busy").count() == 0


@pytest.mark.parametrize("width", [320, 390, 640])
def test_a_models_name_is_not_cut(browser: Browser, served: Served, width: int) -> None:
    with visit(browser, served.url, width) as page:
        page.get_by_role("tab").nth(3).click()
        page.wait_for_selector(".ft-variant input[role=combobox]")
        assert page.evaluate(CUT_NAMES) == []


def test_nothing_moves_for_those_who_asked(browser: Browser, served: Served) -> None:
    with visit(browser, served.url, reduced_motion="reduce") as page:
        page.click("#ft-card-3")
        page.wait_for_selector(".ft-status.ft-busy", timeout=PATIENCE_MS)
        assert page.evaluate(RUNNING) == []
        page.click("#ft-stop")


def test_own_pictures_wait_for_consent(browser: Browser, served: Served) -> None:
    with visit(browser, served.url) as page:
        upload, dialog = page.locator("#ft-face input[type=file]"), page.locator("dialog.ft-consent")
        upload.evaluate("(one) => one.click()")
        dialog.wait_for(state="visible")
        assert "agreed" in dialog.inner_text()
        # Asked again while the browser has yet to tell of the answer.
        upload.evaluate("(one) => { document.querySelector('.ft-consent .ft-no').click(); one.click(); }")
        dialog.wait_for(state="visible")
        assert page.locator("#ft-face img").count() == 0
        with page.expect_file_chooser() as chooser:
            page.click(".ft-consent .ft-yes")
        chooser.value.set_files(FACE)
        page.wait_for_selector("#ft-face img")
        page.reload()
        page.wait_for_selector("#ft-make")
        with page.expect_file_chooser():
            page.locator("#ft-face input[type=file]").evaluate("(one) => one.click()")
        assert not dialog.is_visible()


@pytest.mark.parametrize(
    ("house", "words"),
    [
        ({"state": "waking"}, "The model is waking up"),
        ({"state": "full", "seats": 4, "line": 2}, "All 4 seats are taken; 2 in line"),
        (None, "The server does not answer"),
    ],
)
def test_the_page_says_when_one_has_to_wait(
    browser: Browser, served: Served, house: dict[str, Any] | None, words: str
) -> None:
    with visit(browser, served.url, own_clock=True) as page:

        def answer(route: Route) -> None:
            route.abort() if house is None else route.fulfill(body=json.dumps(house), content_type="application/json")

        page.route("**/ft/house", answer)
        page.clock.fast_forward(HOUSE_MS)
        notice = page.locator(".ft-house p:visible")
        notice.wait_for(timeout=PATIENCE_MS)
        assert words in notice.inner_text()
        page.unroute("**/ft/house")
        page.clock.fast_forward(HOUSE_MS)
        notice.wait_for(state="hidden", timeout=PATIENCE_MS)
        shifted(page)


def test_below_a_path_of_a_proxy_all_is_found(browser: Browser, tmp_path: Path) -> None:
    with page_of(tmp_path, below="/talk") as opened, visit(browser, opened.address) as page:
        for _ in tabs(page):
            pass
        page.wait_for_selector(".ft-long-list", state="attached")
        page.wait_for_function("document.fonts.status === 'loaded'")
        opens = "new Promise((done) => { const socket = new WebSocket(new URL('live/socket', document.baseURI));"
        assert page.evaluate(opens + "socket.onopen = () => done(true); socket.onerror = () => done(false); })")
        assert page.locator(".ft-card img").first.evaluate("(one) => one.naturalWidth") > 0
        page.get_by_role("tab").nth(0).click()
        page.click(".ft-thumb >> nth=1")
        page.wait_for_function("document.querySelector('#ft-face img')?.naturalWidth > 0")
        demand("Below a path:", page.problems)  # type: ignore[attr-defined]


def test_the_password_is_asked_for_and_taken(browser: Browser, tmp_path: Path) -> None:
    with page_of(tmp_path, auth=(NAME, PASSWORD)) as opened:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(opened.address)
        page.get_by_role("textbox").first.fill(NAME)
        page.locator("input[type=password]").fill(PASSWORD)
        page.get_by_role("button").last.click()
        page.wait_for_selector("#ft-make", timeout=PATIENCE_MS)
        context.close()
