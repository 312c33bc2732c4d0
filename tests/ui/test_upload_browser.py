"""The film tab and the compare tab in chromium, with the real small model."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, sync_playwright

from flashtalk.media import speak
from flashtalk.media.encode import MediaFormat
from flashtalk.media.segments import SegmentStream, join_segments
from tests.source import ROOT
from tests.ui.film_browser import SECONDS_MS, Shown, heard_in, pictures_of, shown_film, unlike
from tests.ui.kit import CHROMIUM, Served, needs_chromium
from tests.ui.live_browser import FAKE, SOUND, make_camera, make_speech

pytestmark = [needs_chromium, pytest.mark.slow]

FIRST_FRAME_S = 2.0
CHUNK_S = 1.12
TRIES = 3
PATIENCE_S = 20.0
UP_S = 60.0
RECORDED_S = 2.5
FPS = 25
FAST_CHUNK_S = 0.75
"""A machine that makes a chunk in this while the page plays has a third of its time to spare."""
DELIVERY_S = 0.3
STEP_S = 0.06
"""Between two players of the compare tab: a frame and a half."""
REST_MS = 500
"""How long the hand must rest before the page moves; see player.js."""
BOTH_SEEN = """() => {
  const [video, line] = ["#ft-video", "#ft-status"].map((part) => document.querySelector(part).getBoundingClientRect());
  return video.top >= 0 && line.height > 0 && line.bottom <= innerHeight;
}"""
SEEN, UNSEEN = (ROOT / f"assets/portraits/{name}.png" for name in ("ruth", "anna"))
CHOSEN = "document.querySelector('#ft-face img')?.src.includes('bruno')"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the browser's microphone hears again and again."""
    return make_speech(tmp_path_factory.mktemp("sound") / "speech.wav", pause_s=0.2, turns=1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Iterator[Browser]:
    """Its camera sees SEEN."""
    with sync_playwright() as play:
        camera = make_camera(tmp_path_factory.mktemp("camera") / "camera.y4m", Image.open(SEEN))
        files = [f"--use-file-for-fake-video-capture={camera}", f"--use-file-for-fake-audio-capture={speech}"]
        flags = ["--no-sandbox", SOUND, *FAKE, *files]
        opened = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    devices = ["camera", "microphone"]
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US", permissions=devices)
    opened = context.new_page()
    opened.goto(served.url)
    opened.wait_for_selector("#ft-make")
    yield opened
    context.close()


def test_the_page_is_up_within_a_minute_of_its_command(browser: Browser, served: Served) -> None:
    began_s = time.monotonic()
    page = browser.new_page()
    page.goto(served.url)
    page.wait_for_selector("html[data-stands]")
    page.locator("#ft-make").wait_for()
    assert served.up_s + time.monotonic() - began_s < UP_S
    page.close()


def check_no_needless_stall(film: Shown) -> None:
    """Held against what the machine gave while this very film was made."""
    for at_s, place_s in film.real_stalls:
        chunk = round(place_s / CHUNK_S)
        assert film.arrived_s[chunk] > at_s - DELIVERY_S, f"stalled at {place_s:.2f} s, but its pictures were there"
    assert film.pauses <= sum(chunk_s > CHUNK_S - DELIVERY_S for chunk_s in film.took_s)
    if max(film.took_s) < CHUNK_S - DELIVERY_S:
        assert film.real_stalls == []


def test_a_film_plays_while_it_is_made(page: Page) -> None:
    """Without a needless stall, and at once where the machine is fast; what else it does at the press counts once."""
    painted_s = []
    for _ in range(TRIES):
        film = shown_film(page, "#ft-card-3")
        check_no_needless_stall(film)
        if max(film.took_s) < FAST_CHUNK_S:
            painted_s.append(film.painted_s)
        if not painted_s or min(painted_s) <= FIRST_FRAME_S:
            return
        page.reload()
        page.wait_for_selector("#ft-make")
    assert min(painted_s) <= FIRST_FRAME_S


def test_stop_stops_at_once_and_a_new_film_ends_the_old_one(page: Page, served: Served) -> None:
    page.click("#ft-card-0")
    page.wait_for_selector("#ft-status .ft-busy")
    page.click("#ft-card-1")
    page.wait_for_function(CHOSEN)
    wait_for_seats(served, 1)
    page.wait_for_selector("#ft-status [data-made-s]")
    assert page.evaluate(CHOSEN), "the film that was ended put its own face back"
    page.click("#ft-stop")
    page.wait_for_function("!document.querySelector('#ft-status .ft-busy')")
    wait_for_seats(served, 0)
    assert page.locator("#ft-status .ft-busy").count() == 0


@pytest.mark.parametrize(("motion", "places"), [("no-preference", 3), ("reduce", 2)])
def test_the_page_does_not_move_under_a_press(
    page: Page, motion: Literal["no-preference", "reduce"], places: int
) -> None:
    """The second film's card is pressed slowly, at once after the first; then the stage comes into view."""
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(reduced_motion=motion)
    page.evaluate("addEventListener('scroll', () => (window.tops ??= new Set([0])).add(scrollY))")
    page.click("#ft-card-0")
    page.hover("#ft-card-1")
    page.mouse.down()
    page.wait_for_timeout(REST_MS + 200)
    page.mouse.up()
    assert page.evaluate("scrollY") == 0
    page.wait_for_function(CHOSEN)
    page.wait_for_function(BOTH_SEEN)
    assert min(page.evaluate("window.tops.size"), 3) == places
    page.click("#ft-stop")


@pytest.mark.parametrize(("width", "height"), [(1366, 650), (1280, 900), (390, 700)])
def test_film_and_status_line_come_into_view_together(page: Page, width: int, height: int) -> None:
    """And stay there when the film is done; the links to save it come below, in view too."""
    page.set_viewport_size({"width": width, "height": height})
    page.click("#ft-card-0")
    page.wait_for_selector("#ft-status [data-made-s]", timeout=60 * SECONDS_MS)
    page.wait_for_function(BOTH_SEEN)
    page.evaluate("document.querySelector('#ft-saves').innerHTML = '<div class=ft-saves><a class=ft-save>x</a></div>'")
    assert page.locator(".ft-save").bounding_box()["y"] + 40 <= height  # type: ignore[index]
    page.click("#ft-stop")


def wait_for_seats(served: Served, used: int) -> None:
    deadline, line = time.monotonic() + PATIENCE_S, f"flashtalk_seats_used {used}\n"
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{served.url}/metrics", timeout=PATIENCE_S) as answer:
            if line in answer.read().decode():
                return
        time.sleep(0.05)
    pytest.fail(f"not {used} seats were used within {PATIENCE_S:g} s")


def test_a_project_opens_and_says_what_it_will_be(page: Page, tmp_path: Path) -> None:
    page.click("#ft-card-3")
    page.wait_for_selector(".ft-save", timeout=240 * SECONDS_MS)
    with page.expect_download() as download:
        page.locator(".ft-save").nth(1).click()
    project = tmp_path / "film.flashtalk.json"
    download.value.save_as(project)
    page.reload()
    page.wait_for_selector("#ft-make")
    page.get_by_role("button", name="Settings").click()
    page.locator(".ft-project").first.click()
    with page.expect_file_chooser() as chooser:
        page.click(".ft-consent .ft-yes")
    chooser.value.set_files(project)
    page.wait_for_function("document.querySelector('#ft-status').innerText.includes('bit for bit')")


APART = """() => {
  const videos = [...document.querySelectorAll("#ft-compare video")], apart = [];
  let last = 0;
  const look = (done) => {
    const places = videos.map((video) => video.currentTime), [first] = places;
    const heldUp = performance.now() - last > 100;
    last = performance.now();
    if (first > 1 && !videos[0].paused && !heldUp) apart.push(Math.max(...places) - Math.min(...places));
    if (first > 4 || videos[0].ended) done(apart.sort((x, y) => x - y)[Math.floor(0.95 * apart.length)] ?? 1);
    else requestAnimationFrame(() => look(done));
  };
  return new Promise(look);
}"""
"""How far players are from each other, in seconds: the 95th percentile of three seconds, after one to find step; not
where the machine held up the page, which then can hold nobody in step."""
DRAWN = """() => {
  const c = document.querySelector("#ft-compare canvas");
  return c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((level, at) => at % 4 < 3 && level > 8);
}"""
FIGURES = 7
SYNC, LAG = 2, 3
"""Which of them say how well lips follow the sound, -1 to 1, and how late; of a short film that cannot be told."""


def steps_apart(page: Page) -> Iterator[float]:
    """Of each time that the films are played; what else the machine does then counts once."""
    for _ in range(TRIES):
        yield page.evaluate(APART)
        page.wait_for_selector("#ft-compare [data-play][aria-pressed=false]", timeout=PATIENCE_S * SECONDS_MS)
        page.click("#ft-compare [data-play]")


def compared(page: Page, letters: str) -> None:
    """Press the button: a film for each letter, all in step, and a table without a hole."""
    page.click("#ft-compare-go")
    page.wait_for_selector("#ft-compare [data-start]", state="detached")
    page.wait_for_selector("#ft-compare [data-start]", timeout=240 * SECONDS_MS)
    videos, rows = page.locator("#ft-compare video"), page.locator("#ft-compare table tbody tr")
    assert len(set(videos.evaluate_all("all => all.map((one) => one.src)"))) == len(letters)
    assert any(apart_s < STEP_S for apart_s in steps_apart(page))
    page.wait_for_function(DRAWN, timeout=PATIENCE_S * SECONDS_MS)
    assert page.locator("#ft-compare table thead th").all_inner_texts() == list(letters)
    assert rows.count() == FIGURES
    for index in range(FIGURES):
        said = rows.nth(index).locator("td").all_inner_texts()
        assert len(said) == len(letters)
        assert all(re.search(r"\d", one) or (index == LAG and one == "cannot tell") for one in said), said
        assert rows.nth(index).locator("small").inner_text().endswith(".")
    synced = rows.nth(SYNC).locator("td").all_inner_texts()
    assert all(-1 <= float(one.split()[-1]) <= 1 for one in synced)


def test_one_press_in_the_compare_tab_makes_two_faces_talk(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    compared(page, "AB")


def test_three_and_four_variants_play_in_step(page: Page, speech: Path) -> None:
    """One of other steps, one of another engine, one of another seed."""
    page.evaluate("localStorage.setItem('flashtalk_consent', 'yes')")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#ft-compare-voice").get_by_role("button", name="Take it away").click()
    page.locator("#ft-compare-voice input[type=file][accept*=audio]").set_input_files(speech)
    page.wait_for_selector("#ft-compare-voice input[type=file]", state="detached")
    use = page.locator(".ft-variant").get_by_label("Use it")
    use.nth(2).check()
    use.nth(3).check()
    compared(page, "ABCD")
    use.nth(1).uncheck()
    compared(page, "ACD")


def test_what_is_missing_is_said(page: Page) -> None:
    page.click("#ft-make")
    words = page.locator("#ft-status .ft-failed")
    words.wait_for()
    assert words.inner_text() == "Choose a face first: one of ours, a picture of yours or the camera."


def type_in(page: Page, words: str) -> None:
    if not page.locator(".ft-type textarea").is_visible():
        page.click(".ft-type button.label-wrap")
    page.fill(".ft-type textarea", words)


def made(page: Page) -> str:
    """What the status line says of the film that is asked for now."""
    page.click("#ft-make")
    return told(page)


def told(page: Page) -> str:
    """What it says of the film that was asked for."""
    page.wait_for_selector("#ft-status .ft-busy")
    page.wait_for_selector("#ft-status .ft-status:not(.ft-busy)", timeout=240 * SECONDS_MS)
    return page.locator("#ft-status p").inner_text()


@pytest.mark.skipif(not speak.can_speak(), reason="needs the program espeak-ng, and it is not installed here")
def test_what_was_typed_last_is_spoken_and_a_voice_chosen_later_is_kept(page: Page) -> None:
    page.click(".ft-thumb >> nth=0")
    type_in(page, "Hello.")
    first = made(page)
    assert first.startswith("Done"), first
    assert made(page).split("of film")[0] == first.split("of film")[0], "the same words, spoken once"
    type_in(page, "Hello there, how are you today?")
    assert made(page).split("of film")[0] != first.split("of film")[0]
    hello = page.get_by_role("button", name="Hello!").locator("visible=true").first
    hello.click()
    page.wait_for_timeout(REST_MS)
    type_in(page, "Once more.")
    hello.click()
    assert page.locator("#ft-letters").inner_text().startswith("The voice chosen above speaks.")
    assert made(page).startswith("Done: 6.8 s of film")


@pytest.mark.skipif(not speak.can_speak(), reason="needs the program espeak-ng, and it is not installed here")
def test_a_long_text_stays_whole_and_is_called_too_long(page: Page) -> None:
    page.click(".ft-thumb >> nth=0")
    type_in(page, "ab " * 1200)
    line = page.locator("#ft-letters [data-for=long]")
    line.wait_for()
    assert line.inner_text().startswith("3,599 letters; 600 are the most.")
    assert len(page.input_value(".ft-type textarea")) == 3600
    page.click("#ft-make")
    page.locator("#ft-status .ft-failed").wait_for()
    assert "600 are allowed" in page.locator("#ft-status").inner_text()


def test_the_sound_of_a_video_is_a_voice(page: Page, tmp_path: Path) -> None:
    page.evaluate("localStorage.setItem('flashtalk_consent', 'yes')")
    film, tone_SC = SegmentStream(MediaFormat(width=64, height=64, sample_rate=48000)), np.zeros((48000, 1), np.float32)
    tone_SC[:, 0] = 0.3 * np.sin(np.arange(48000) / 20)
    segment = film.encode(np.zeros((25, 64, 64, 3), np.uint8), tone_SC, last=True)
    join_segments([segment.data], tmp_path / "film.mp4")
    page.click(".ft-thumb >> nth=0")
    with page.expect_file_chooser() as chooser:
        page.locator("#ft-voice input[type=file]").evaluate("(one) => one.click()")
    assert "video/" in (chooser.value.element.get_attribute("accept") or "")
    chooser.value.set_files(tmp_path / "film.mp4")
    page.wait_for_selector("#ft-voice .audio-container", state="attached")
    page.wait_for_selector("#ft-voice input[type=file]", state="detached")
    assert made(page).startswith("Done: 1.0 s of film")


def press(page: Page, name: str) -> None:
    """A button that is shown, by exactly this name."""
    page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()


def test_a_picture_and_a_voice_taken_on_the_page_make_a_film(page: Page, speech: Path, tmp_path: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    press(page, "Take a picture with the camera")
    press(page, "Switch the camera on")
    page.click(".ft-consent .ft-no")
    page.locator("dialog.ft-consent").wait_for(state="hidden")
    press(page, "Switch the camera on")
    page.click(".ft-consent .ft-yes")
    page.wait_for_function("document.querySelector('#ft-face video')?.videoWidth === 640")
    press(page, "Take the picture")
    page.wait_for_selector("#ft-face img")
    press(page, "Record your voice")
    page.evaluate("localStorage.removeItem('flashtalk_consent')")
    press(page, "Record")
    page.click(".ft-consent .ft-no")
    page.locator("dialog.ft-consent").wait_for(state="hidden")
    press(page, "Record")
    page.click(".ft-consent .ft-yes")
    page.wait_for_timeout(RECORDED_S * SECONDS_MS)
    assert not errors, "whoever says no has not pressed"
    assert recorded_and_pressed_at_once(page).startswith("Done")
    with page.expect_download() as download:
        page.locator(".ft-save").first.click()
    download.value.save_as(film := tmp_path / "film.mp4")
    frames_FHWC = pictures_of(film)
    assert len(frames_FHWC) / FPS == pytest.approx(RECORDED_S, abs=0.5)
    assert unlike(frames_FHWC, SEEN) < 0.6 * unlike(frames_FHWC, UNSEEN)
    assert heard_in(film, speech) > 0.9


def recorded_and_pressed_at_once(page: Page) -> str:
    """What is said of a film that is asked for while its recording is on its way, over a slow line."""
    on_its_way: list[Route] = []

    def hold(upload: Route) -> None:
        on_its_way.append(upload)

    page.route("**/upload*", hold)
    with page.expect_request("**/upload*"):
        press(page, "Stop")
        page.click("#ft-make")
    page.get_by_text("What you chose is still on its way.").wait_for()
    page.wait_for_timeout(REST_MS)
    assert page.locator("#ft-status .ft-busy, #ft-status .ft-failed").count() == 0
    for upload in on_its_way:
        upload.continue_()
    return told(page)


@pytest.mark.parametrize(("error", "words"), [("NotAllowedError", "The camera is blocked."), ("Odd", "cannot be used")])
def test_a_camera_that_cannot_be_had_is_said_where_it_was_asked_for(page: Page, error: str, words: str) -> None:
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}'); }}"
    )
    open_camera(page)
    press(page, "Switch the camera on")
    page.locator("#ft-face button", has_text=words).wait_for()


def test_a_page_that_browsers_give_no_camera_says_so(page: Page) -> None:
    # As over http from another machine.
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    open_camera(page)
    page.locator("#ft-face button", has_text="https pages").wait_for()


def open_camera(page: Page) -> None:
    page.evaluate("localStorage.setItem('flashtalk_consent', 'yes')")
    page.reload()
    press(page, "Take a picture with the camera")
