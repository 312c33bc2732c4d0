"""The page's smaller scripts in node, without a browser: who speaks, what a press waits for, when a film is cut."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flashtalk.ui.theme import STATIC
from tests.ui.live_twin import node

SAMPLE, OTHER = "/app/assets/speech/hello.wav", "/app/assets/speech/sorry.wav"
UPLOADED, SPOKEN = f"/cache/{'a' * 64}/speech.wav", f"/cache/{'b' * 32}/speech.wav"
CHIP, CARD, SPEAK = ".ft-chip", ".ft-card", "#ft-speak"
TYPED = ["type", "Hello."]
READ = ["spoken", True]
PROJECT, THERE, OPENED, DAMAGED = (
    ["brings", 1600, "film.flashtalk.json"],
    ["answered", 200],
    ["opened", True],
    ["opened", False],
)


def played(scripts: str, *acts: list[Any]) -> list[Any]:
    """What each act gave."""
    asked = json.dumps({"scripts": [str(STATIC / script) for script in scripts.split()], "acts": acts})
    program = Path(__file__).with_name("page_script.mjs")
    done = subprocess.run([node(), str(program)], input=asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def in_node(program: str, script: str) -> str:
    """What a program says that imports one of the scripts by its argument."""
    call = [node(), "--input-type=module", "--eval", program, str(STATIC.parent / script)]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("acts", "spoken", "told"),
    [
        ([], "", ""),
        ([TYPED], "Hello.", "fits"),
        ([TYPED, ["click", SPEAK], ["changed", SPOKEN]], "Hello.", "fits"),
        ([["type", "Hello there."]], "Hello there.", "long"),
        ([["type", "  "]], "  ", ""),
        # The same voice once more is no change of it.
        ([["click", CHIP], ["changed", SAMPLE], TYPED, ["click", CHIP]], "", "voice"),
        ([TYPED, ["click", CARD]], "", "voice"),
        ([TYPED, ["click", CHIP], ["changed", SAMPLE], TYPED], "Hello.", "fits"),
        ([TYPED, ["brings", 1600, "my.wav"]], "", "voice"),
        ([TYPED, ["brings", 1600, "my.wav"], ["answered", "lost"]], "Hello.", "fits"),
        ([TYPED, ["brings", 1600, "my.wav"], ["type", "No."], ["answered", "lost"]], "No.", "fits"),
        ([TYPED, ["brings", 1600]], "Hello.", "fits"),
        ([TYPED, PROJECT, THERE, ["changed", SPOKEN], OPENED], "", "voice"),
        ([TYPED, PROJECT, THERE, DAMAGED], "Hello.", "fits"),
        ([TYPED, PROJECT, ["answered", "lost"]], "Hello.", "fits"),
        ([TYPED, PROJECT, ["type", "No."], THERE, ["changed", SPOKEN], OPENED], "No.", "fits"),
        ([TYPED, ["brings", 1600, "my.wav"], ["changed", UPLOADED], ["changed", None]], "Hello.", "fits"),
        # What is uploaded, and what the server gives, comes late.
        ([["brings", 1600, "my.wav"], TYPED, ["changed", UPLOADED]], "Hello.", "fits"),
        ([["click", CHIP], TYPED, ["changed", OTHER]], "Hello.", "fits"),
        ([TYPED, ["speaks"], ["type", "Once."], ["changed", SPOKEN]], "Once.", "fits"),
        ([TYPED, ["speaks"], ["click", CHIP], ["changed", SPOKEN]], "", "voice"),
    ],
)
def test_whichever_was_done_last_speaks_and_the_page_says_so(acts: list[Any], spoken: str, told: str) -> None:
    assert played("typing.js coming.js", *acts, ["speaks"])[-1] == [spoken, told]


MAKE, BRINGS, SETTLES = ["presses", "ft-make"], ["brings", 1600], ["passes", 100]
RECORDED, VOICE = ["presses", ".stop-button"], ["brings", 1600, "audio.wav"]
THUMB, CLEARED = ".ft-thumb", ".ft-drop:not(.ft-drop-voice) .icon-button-wrapper button"


@pytest.mark.parametrize(
    ("acts", "left"),
    [
        ([MAKE], [1, ""]),
        ([BRINGS, MAKE], [0, "coming"]),
        ([BRINGS, MAKE, MAKE, ["answered", 200]], [0, "coming"]),
        ([BRINGS, MAKE, MAKE, ["answered", 200], SETTLES], [1, ""]),
        ([BRINGS, ["answered", 200], SETTLES, MAKE], [1, ""]),
        ([BRINGS, MAKE, ["answered", 413]], [0, "coming"]),
        ([BRINGS, MAKE, ["answered", 413], SETTLES], [0, "lost"]),
        ([BRINGS, MAKE, ["answered", "lost"]], [0, "lost"]),
        ([BRINGS, MAKE, ["answered", "lost"], MAKE], [1, ""]),
        # As long as the server waits for it: a minute, and its bytes at 16 a millisecond.
        ([BRINGS, MAKE, ["passes", 60_099]], [0, "coming"]),
        ([BRINGS, MAKE, ["passes", 60_100]], [0, "lost"]),
        ([BRINGS, ["passes", 60_100], MAKE], [1, ""]),
        # A picture and a voice: both must come.
        ([BRINGS, BRINGS, MAKE, ["answered", 200], SETTLES], [0, "coming"]),
        ([BRINGS, BRINGS, MAKE, ["answered", 200], ["answered", 200], SETTLES], [1, ""]),
        # A recording is on its way before its bytes go; where it cannot be had, nothing ever goes.
        ([RECORDED, MAKE], [0, "coming"]),
        ([RECORDED, MAKE, VOICE, ["answered", 200], SETTLES], [1, ""]),
        ([RECORDED, MAKE, ["brings", 1600, "audio.wav", False], ["answered", 200], SETTLES], [1, ""]),
        ([RECORDED, MAKE, RECORDED], [0, "coming"]),
        ([RECORDED, MAKE, ["passes", 20_000]], [0, "lost"]),
        # Who presses for something else wants that.
        ([BRINGS, MAKE, ["presses", ".ft-go"], ["answered", 200], SETTLES], [0, ""]),
        ([BRINGS, MAKE, ["presses", CARD], ["answered", 200], SETTLES], [1, ""]),
        ([["brings", 1600, "image.png", False], MAKE], [1, ""]),
        # A project is waited for until it was read and its fields are filled.
        ([PROJECT, MAKE, THERE, SETTLES], [0, "coming"]),
        ([PROJECT, MAKE, THERE, ["passes", 599_999]], [0, "coming"]),
        ([PROJECT, MAKE, THERE, ["passes", 600_000]], [0, "lost"]),
        ([PROJECT, MAKE, THERE, OPENED], [1, ""]),
        ([PROJECT, THERE, OPENED, MAKE], [1, ""]),
        ([PROJECT, MAKE, THERE, DAMAGED], [0, "lost"]),
        ([PROJECT, MAKE, ["answered", 413], SETTLES], [0, "lost"]),
        ([PROJECT, TYPED, MAKE, THERE], [0, "coming"]),
        ([PROJECT, BRINGS, MAKE, THERE, OPENED], [0, "coming"]),
        ([PROJECT, MAKE, OPENED], [0, "coming"]),
        # Of two the second one counts.
        ([PROJECT, PROJECT, MAKE, THERE, THERE, OPENED], [0, "coming"]),
        ([PROJECT, PROJECT, MAKE, THERE, THERE, OPENED, OPENED], [1, ""]),
        ([PROJECT, ["presses", THUMB], MAKE, THERE, OPENED], [0, ""]),
        ([PROJECT, ["presses", THUMB], MAKE, THERE, OPENED, SETTLES], [1, ""]),
        # A text that is read out needs no wait, unless it is gone.
        ([TYPED, ["presses", SPEAK], MAKE], [1, ""]),
        ([TYPED, ["presses", SPEAK], ["type", ""], MAKE], [0, "coming"]),
        ([TYPED, ["presses", SPEAK], ["type", ""], MAKE, READ], [1, ""]),
        ([TYPED, ["presses", SPEAK], ["type", ""], MAKE, ["spoken", False]], [0, "lost"]),
        # What was replaced meanwhile is not waited for.
        ([BRINGS, ["presses", THUMB], MAKE], [1, ""]),
        ([BRINGS, ["presses", CLEARED], MAKE], [1, ""]),
        ([BRINGS, ["presses", CARD], MAKE], [2, ""]),
        ([BRINGS, ["presses", CHIP], MAKE], [0, "coming"]),
        ([BRINGS, MAKE, ["presses", CHIP], ["answered", 200], SETTLES], [1, ""]),
        ([BRINGS, MAKE, ["presses", THUMB]], [0, ""]),
        ([RECORDED, ["presses", CHIP], VOICE, MAKE], [1, ""]),
        ([VOICE, TYPED, MAKE], [1, ""]),
        ([VOICE, TYPED, ["answered", 200], SETTLES, MAKE], [1, ""]),
        ([TYPED, VOICE, MAKE], [0, "coming"]),
        ([BRINGS, VOICE, TYPED, MAKE], [0, "coming"]),
        ([BRINGS, VOICE, TYPED, MAKE, ["answered", 200], SETTLES], [1, ""]),
        ([BRINGS, MAKE, TYPED, ["answered", 200], SETTLES], [0, ""]),
        # A double click is one press; what comes while a comparison is made is none.
        ([MAKE, MAKE], [1, ""]),
        ([MAKE, ["passes", 499], MAKE], [1, ""]),
        ([MAKE, ["passes", 500], MAKE], [2, ""]),
        ([["presses", CARD], ["passes", 499], ["presses", CARD]], [1, ""]),
        ([["presses", CARD], ["passes", 500], ["presses", CARD]], [2, ""]),
        ([MAKE, ["presses", CARD]], [2, ""]),
        ([["compares_now"], MAKE], [0, ""]),
        ([["compares_now"], BRINGS, MAKE, ["answered", 200], SETTLES], [0, ""]),
    ],
)
def test_a_press_waits_for_a_file_on_its_way_and_is_made_when_it_is_there(acts: list[Any], left: list[Any]) -> None:
    assert played("typing.js coming.js", *acts, ["stands_now"])[-1] == left


@pytest.mark.parametrize(
    ("acts", "pressed"),
    [
        ([BRINGS, ["presses", THUMB], ["answered", 200], SETTLES], [THUMB, THUMB]),
        ([BRINGS, ["presses", THUMB], ["answered", 413], SETTLES], [THUMB]),
        ([BRINGS, ["presses", THUMB], BRINGS, ["answered", 200], SETTLES], [THUMB]),
        ([BRINGS, ["presses", THUMB], ["presses", CLEARED], ["answered", 200], SETTLES], [THUMB, CLEARED]),
        ([VOICE, ["presses", CHIP], ["answered", 200], SETTLES], [CHIP, CHIP]),
        ([VOICE, ["presses", CHIP], TYPED, ["answered", 200], SETTLES], [CHIP]),
        ([PROJECT, ["presses", THUMB], THERE, OPENED], [THUMB, THUMB]),
        ([PROJECT, ["presses", CHIP], ["presses", THUMB], THERE, OPENED], [CHIP, THUMB, THUMB, CHIP]),
        ([PROJECT, ["presses", CHIP], TYPED, THERE, OPENED], [CHIP]),
        ([PROJECT, ["presses", THUMB], THERE, DAMAGED], [THUMB]),
        ([["presses", THUMB], PROJECT, THERE, OPENED], [THUMB]),
        ([TYPED, ["presses", SPEAK], ["presses", CHIP], READ], [SPEAK, CHIP, CHIP]),
        ([TYPED, ["presses", SPEAK], ["presses", CHIP], ["spoken", False]], [SPEAK, CHIP]),
        ([TYPED, ["presses", SPEAK], ["presses", CHIP], TYPED, READ], [SPEAK, CHIP]),
        ([TYPED, ["presses", CHIP], ["presses", SPEAK], READ], [CHIP, SPEAK]),
    ],
)
def test_a_sample_chosen_while_a_file_was_on_its_way_is_chosen_again_when_that_comes(
    acts: list[Any], pressed: list[str]
) -> None:
    """Gradio puts what comes last in its place."""
    assert played("typing.js coming.js", *acts, ["presses_so_far"])[-1] == pressed


@pytest.mark.parametrize(
    ("polls", "left"),
    [
        ([("lost", 1)], [True, "lost"]),
        ([("lost", 1), ("ready", 1), ("lost", 1), ("full", 1)], [True, "full"]),
        ([("lost", 1), ("lost", 1)], [False, "lost"]),
        ([("lost", 1), ("lost", 2), ("lost", 3)], [True, "lost"]),
        ([("lost", 1), ("lost", 2), ("lost", 2)], [False, "lost"]),
        # A server that began anew knows no login any more.
        ([("lost", 1), (401, 1)], [False, "locked"]),
    ],
)
def test_a_film_is_cut_when_two_answers_in_a_row_are_lost_and_it_stands_still(
    polls: list[tuple[str | int, int]], left: list[Any]
) -> None:
    assert played("house.js", *(["poll", *poll] for poll in polls))[-1] == left


@pytest.mark.parametrize("kind", ["play", "timeupdate"])
@pytest.mark.parametrize(
    ("film", "goes_on"),
    [({}, False), ({"seen": True}, True), ({"floats": True}, True), ({"inside": ".ft-live"}, True)],
)
def test_a_film_whose_tab_was_left_is_heard_no_more(kind: str, film: dict[str, Any], *, goes_on: bool) -> None:
    assert played("hush.js", ["hears", kind, film]) == [goes_on]


@pytest.mark.parametrize(
    ("player", "plays"),
    [
        ({"readyState": 1, "finished": True}, "whole"),
        ({"readyState": 3, "finished": True}, "pieces"),
        ({"readyState": 1, "finished": True, "paused": True}, "pieces"),
        ({"readyState": 1, "finished": False}, "pieces"),
    ],
)
def test_a_finished_film_whose_pieces_are_gone_plays_on_as_one_file(player: dict[str, Any], plays: str) -> None:
    """Gradio holds them in memory for a while only, see ui/streams.py."""
    assert played("player.js", ["waits", player]) == [[plays, 3]]


@pytest.mark.parametrize(
    ("at_s", "kinds", "asks"),
    [
        (0, ["play", "pause"], True),
        (0, ["play", "pause", "play"], False),
        (0, ["play", "pause", "emptied"], False),
        (3, ["play", "pause"], False),
    ],
)
def test_a_film_that_may_not_begin_asks_for_a_press(at_s: float, kinds: list[str], *, asks: bool) -> None:
    """Safari plays sound only within seconds of one."""
    assert played("player.js", ["stands", at_s, *kinds]) == [asks]


@pytest.mark.parametrize(
    ("answers", "pressed"),
    [(("", ""), "true"), (("NotAllowedError", ""), "false"), (("AbortError", ""), "true")],
)
def test_films_side_by_side_wait_for_a_press_where_they_may_not_begin(answers: tuple[str, str], pressed: str) -> None:
    """WebKit does not mute a film that is copied out of a template, whatever its mark says."""
    assert played("compare.js", ["compares", *answers]) == [[pressed, [True, False]]]


@pytest.mark.parametrize(("plays", "then"), [(True, ["true", 2]), (False, ["false", 0])])
def test_films_side_by_side_go_on_when_another_one_is_made(plays: bool, then: list[Any]) -> None:
    assert played("compare.js", ["compares", "", ""], ["compares_more", plays])[-1] == then


@pytest.mark.parametrize(
    ("then", "waits_ms"), [({"leadS": "3", "madeS": "41"}, 2000), ({"leadS": "3", "madeS": "50"}, 0), ({}, 0)]
)
def test_a_film_that_waits_for_more_waits_no_longer_than_more_is_made(then: dict[str, str], waits_ms: int) -> None:
    """What is said at its end, after Stop or an error, tells of no more."""
    assert played("player.js", ["falls_behind", {"leadS": "4", "madeS": "40"}, then]) == [waits_ms]


def test_the_page_that_asks_for_the_password_says_why_it_is_not_heard() -> None:
    """Gradio itself says that a password is wrong, 400."""
    acts = [["login", status] for status in (429, 400, 429, 200, 503, "lost")]
    wait, lost = "Too many tries; wait a minute.", "The server does not answer; try again."
    assert played("login.js", *acts) == [wait, "", wait, "", lost, lost]


WITHOUT_LOUDSPEAKER = """
let isClosed = false;
globalThis.setTimeout = (act) => setImmediate(act);
globalThis.AudioContext = class { resume() { return new Promise(() => {}); } close() { isClosed = true; } };
const { openAudio } = await import(process.argv[1]);
await openAudio().catch(({ name }) => process.stdout.write(`${name} ${isClosed}`));
"""


def test_a_talk_without_a_loudspeaker_does_not_wait_for_ever() -> None:
    """Firefox answers only once there is one."""
    assert in_node(WITHOUT_LOUDSPEAKER, "live/static/audio.js") == "NoLoudspeaker true"


WAKING = """
const page = { lang: "" }, asked = [];
globalThis.location = { search: "", reload: () => process.stdout.write(page.lang + " " + asked.length) };
globalThis.document = { documentElement: page };
Object.defineProperty(globalThis, "navigator", { value: { language: "zh-CN" } });
const get = () => { throw new DOMException("denied", "SecurityError"); };
Object.defineProperty(globalThis, "localStorage", { get });
globalThis.setTimeout = (act) => setImmediate(act);
globalThis.fetch = async (what) => ({ text: async () => (asked.push(what) > 2 ? "live" : "starting") });
"""


def test_the_waking_page_goes_on_in_a_browser_that_keeps_nothing() -> None:
    script = (STATIC / "waking.html").read_text("utf-8").split("<script>")[1].split("</script>")[0]
    done = subprocess.run([node(), "--eval", WAKING + script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "zh 3"), done.stderr


FIRST_FILM = """
const kept = new Map(), given = [{ ok: false, status: 429 }, { ok: true, status: 200 }], parts = {}, asked = [];
const part = () => ({ addEventListener() {}, play: async () => {}, pause() {}, paused: true, textContent: "" });
const words = JSON.stringify({ taking: ["Being read."], lost: ["No answer."] });
const root = { dataset: { words, why: "{}" }, querySelector: (name) => (parts[name] ??= part()) };
globalThis.window = globalThis;
globalThis.document = { baseURI: "http://talk/", documentElement: { lang: "en" }, addEventListener() {} };
globalThis.localStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (...both) => kept.set(...both) };
globalThis.flashtalkPage = { told: (said) => said };
globalThis.fetch = async (what) => {
  asked.push(what);
  const tree = { error: "Too many.", visitor: given[0]?.ok ? "me" : undefined };
  return what.endsWith("visitor") ? { ...given.shift(), json: async () => tree } : new Promise(() => {});
};
globalThis.setTimeout = () => 0;
const { start } = await import(process.argv[1]);
start({ querySelector: () => root });
const carried = ([, last]) => JSON.parse(last), why = ({ message }) => message;
const order = () => window.flashtalkLong.order(["face", ""]).then(carried, why);
const [one, two] = await Promise.all([order(), order()]), note = parts[".ft-long-note"].textContent;
const refused = [one, two, note, kept.size, asked.length], { visitor, key } = await order();
process.stdout.write(JSON.stringify([...refused, visitor, key.length, kept.get("flashtalk_visitor")]));
process.exit();
"""


def test_a_visitor_whose_first_film_is_refused_is_told_and_may_order_again() -> None:
    told = json.loads(in_node(FIRST_FILM, "static/long_video.js"))
    assert told == ["Too many.", "Too many.", "Too many.", 0, 1, "me", 32, "me"]


LOST_SCRIPT = """
const asked = [], plays = [];
const script = () => ({ addEventListener(kind, act) { this[kind] = act; }, remove() {} });
globalThis.document = { baseURI: "http://talk/", createElement: script, head: { append: (one) => asked.push(one) } };
globalThis.window = globalThis;
globalThis.localStorage = { getItem: () => JSON.stringify(["me", 3]) };
const { Player } = await import(process.argv[1]);
const video = { src: "", addEventListener() {}, removeAttribute() { this.src = ""; }, load() {}, paused: true };
video.play = async () => plays.push(video.src);
const player = new Player(video), film = { id: "me", media: "me/", chunks: 1, state: "rendering" };
const seen = [], see = () => seen.push([asked.length, video.src, video.currentTime ?? 0, plays.length]);
player.playsNext = "me";
const first = player.show(film);
asked[0].error(new Error("no network"));
await first, see();
const second = player.show(film);
asked.at(-1).load();
await second, see(); // it is there now, and played as was asked for
player.playsNext = "me", video.currentTime = 0;
const third = player.show({ ...film, media: "my/" });
await Promise.all([third, player.show({ id: "done", media: "done/", state: "done" })]), see(); // the last one, unasked
process.stdout.write(JSON.stringify(seen));
"""


def test_a_player_whose_script_did_not_come_asks_for_it_at_the_next_look() -> None:
    seen = json.loads(in_node(LOST_SCRIPT, "static/long_player.js"))
    assert seen == [[1, "", 0, 0], [2, "me/index.m3u8", 3, 1], [2, "done/film.mp4", 0, 1]]


EARLY_PRESS = """
let press = null, can = false, made = 0;
const marks = new Set();
const button = {
  isConnected: true, isShown: true, checkVisibility: () => button.isShown, closest: () => button,
  setAttribute: (name) => marks.add(name), removeAttribute: (name) => marks.delete(name), click: () => act(),
};
const module = "data:text/javascript,export const MediaRecorder = { isTypeSupported: () => globalThis.can() };";
globalThis.can = () => can;
globalThis.document = {
  querySelectorAll: () => [{ href: module }], addEventListener: (_kind, does) => { press = does; },
};
globalThis.setTimeout = (act) => setImmediate(act);
let stopped = false;
const act = () => {
  stopped = false;
  press({ target: button, stopImmediatePropagation: () => { stopped = true; } });
  if (!stopped) made++;
};
const rest = async () => { for (let i = 0; i < 50; i++) await new Promise(setImmediate); };
const { holdEarlyPresses } = await import(process.argv[1]);
holdEarlyPresses();
const seen = [];
const see = () => seen.push([made, marks.size]);
act(), await rest(), see(); // held
act(), await rest(), see(); // taken back
can = true;
await rest(), see();
button.isShown = false;
act(), await rest(), see(); // gone meanwhile
button.isShown = true;
act(), await rest(), see();
act(), see();
process.stdout.write(JSON.stringify(seen));
"""


def test_an_early_press_of_the_microphone_may_be_taken_back_and_is_not_made_out_of_sight() -> None:
    seen = json.loads(in_node(EARLY_PRESS, "live/static/plain-press.js"))
    assert seen == [[0, 1], [0, 0], [0, 0], [0, 0], [1, 0], [2, 0]]
