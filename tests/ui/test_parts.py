"""Laws of the page's parts: tokens, keys, rates, pace, texts, projects, where the app listens."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import SimpleNamespace

import fastapi
import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.context import LocalContext

import app
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.errors import ConfigError, InputError, Overloaded
from flashtalk.media import speak
from flashtalk.media.audio import read_audio_all
from flashtalk.ui import build, limits
from flashtalk.ui.films import FilmStore
from flashtalk.ui.limits import RateLimit
from flashtalk.ui.live.plain import PIECES_PER_MINUTE
from flashtalk.ui.mishaps import sentence
from flashtalk.ui.once import Once
from flashtalk.ui.project import Wishes, how_alike, read_project, write_project
from flashtalk.ui.samples import speaker_for
from flashtalk.ui.tokens import Tokens, load_tokens
from flashtalk.ui.why import CHINESE
from tests.serving.fakes import FakeHouse
from tests.source import ROOT
from tests.ui.live_kit import serve, wait_until

ASSETS = ROOT / "assets"
FACE, VOICE = ROOT / "assets/portraits/anna.png", ROOT / "assets/speech/hello.wav"

HAN = re.compile(r"[\u4e00-\u9fff]")
MADE_WITH = {"flashtalk": "1", "model": "small-1", "device": "cpu float32 sdpa", "machine": "m", "settings": "abc"}


def test_a_token_says_what_it_was_issued_for() -> None:
    tokens = Tokens(b"secret")
    token = tokens.issue("film", "a|b", 60)
    assert tokens.check(token, "film") == "a|b"
    halves = ["\ud800.x", "x.\ud800", token + "\udfff"]
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), "x" + token, "", ".", token.split(".")[0] + ".", *halves]
    others = [
        (Tokens(b"other"), token, "film"),
        (tokens, token, "live"),
        (tokens, tokens.issue("film", "a", -5), "film"),
    ]
    for judge, given_token, purpose in [*((tokens, word, "film") for word in forged), *others]:
        with pytest.raises(InputError, match="too old or not yours"):
            judge.check(given_token, purpose)


def test_tokens_outlive_the_app_and_the_secret_is_its_owners(tmp_path: Path) -> None:
    token = load_tokens(tmp_path).issue("job", "7", 60)
    assert load_tokens(tmp_path).check(token, "job") == "7"
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
    (tmp_path / "secret").write_bytes(b"")  # as an app leaves it that is killed at its first start
    token = load_tokens(tmp_path).issue("job", "7", 60)
    with pytest.raises(InputError):
        Tokens(b"").check(token, "job")
    assert load_tokens(tmp_path).check(token, "job") == "7"


def test_one_key_makes_one_job() -> None:
    once, calls, gate = Once[int](900), [], threading.Event()

    def work() -> int:
        gate.wait(5)
        calls.append(1)
        return len(calls)

    results: list[int] = []
    visitors = [threading.Thread(target=lambda: results.append(once.run("a-long-key", "film", work))) for _ in range(5)]
    for visitor in visitors:
        visitor.start()
    gate.set()
    for visitor in visitors:
        visitor.join(5)
    assert results == [1] * 5
    with pytest.raises(InputError, match="another film"):
        once.run("a-long-key", "other", work)
    with pytest.raises(InputError, match="letters"):
        once.run("short", "film", work)


def test_a_wait_for_anothers_job_has_an_end_and_the_key_finds_it_later() -> None:
    once, gate, begun = Once[int](900, patience_s=0.1), threading.Event(), threading.Event()

    def work() -> int:
        begun.set()
        assert gate.wait(10)
        return 1

    made: list[int] = []
    maker = threading.Thread(target=lambda: made.append(once.run("a-long-key", "film", work)))
    maker.start()
    assert begun.wait(5)
    with pytest.raises(Overloaded, match="ask again with the same key") as caught:
        once.run("a-long-key", "film", work)
    assert caught.value.code == "key_waiting"
    for other in range(300):
        once.run(f"another-key-{other}", "film", lambda: 2)
    gate.set()
    maker.join(5)
    assert made == [once.run("a-long-key", "film", lambda: 3)] == [1]


def test_few_wait_for_one_job_and_others_are_told_at_once() -> None:
    once, gate, begun, told = Once[int](900, patience_s=20), threading.Event(), threading.Event(), list[object]()

    def work() -> int:
        begun.set()
        return int(gate.wait(10))

    def ask() -> None:
        try:
            told.append(once.run("a-long-key", "film", work))
        except Overloaded as error:
            told.append(error.code)

    callers = [threading.Thread(target=ask) for _ in range(9)]
    callers[0].start()
    assert begun.wait(5)
    for caller in callers[1:]:
        caller.start()
    wait_until(lambda: len(told) == 4, 5)
    assert told == ["key_waiting"] * 4
    gate.set()
    for caller in callers:
        caller.join(5)
    assert told[4:] == [1] * 5


def test_a_failed_job_may_be_tried_again() -> None:
    once = Once[int](900)
    with pytest.raises(ZeroDivisionError):
        once.run("a-long-key", "film", lambda: 1 // 0)
    assert once.run("a-long-key", "film", lambda: 2) == 2


def test_a_job_is_remembered_from_its_end_and_forgotten_before_its_files_go(monkeypatch: pytest.MonkeyPatch) -> None:
    once, made, now_s = Once[int](900), list[int](), 0.0
    monkeypatch.setattr("flashtalk.ui.once.time", SimpleNamespace(monotonic=lambda: now_s))

    def work() -> int:
        nonlocal now_s
        now_s += 1200
        made.append(1)
        return len(made)

    assert once.run("a-long-key", "film", work) == 1
    for later_s, number in ((0, 1), (839, 1), (2, 2)):
        now_s += later_s
        assert once.run("a-long-key", "film", work) == number


def test_a_rate_is_for_each_address() -> None:
    rate = RateLimit(3)
    assert [rate.allows("a") for _ in range(4)] == [True, True, True, False]
    assert rate.allows("b")


def test_plain_talks_of_one_address_do_not_use_up_what_it_may_ask_and_nobody_else_may_ask_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(limits.time, "monotonic", lambda: now_s)
    rate, pieces = RateLimit(UiConfig().requests_per_minute), 2 * PIECES_PER_MINUTE

    def refused(minutes: int, address: str) -> int:
        """Of the pieces of two talks, and one more request a second."""
        nonlocal now_s
        count = 0
        for _ in range(minutes * (pieces + 60)):
            now_s += 60 / (pieces + 60)
            count += not rate.allows(address)
        return count

    with rate.more("a", PIECES_PER_MINUTE), rate.more("a", PIECES_PER_MINUTE):
        assert refused(10, "a") == 0
        assert refused(10, "b") == pytest.approx(10 * 90 - 120, abs=1)
    rate.allows("a")
    assert refused(10, "a") == pytest.approx(10 * 90 - 120, abs=2)


def test_a_comparison_says_what_happens_beside_its_button_and_not_below_its_films(tmp_path: Path) -> None:
    """Below them it is off the screen, and whoever presses the button sees nothing."""
    with FakeHouse(load_config("cpu")) as client:
        blocks = build.build_app(client, UiConfig(folder=str(tmp_path)))
    order = [getattr(one, "elem_id", None) for _, one in sorted(blocks.blocks.items())]
    button, line, films = (order.index(name) for name in ("ft-compare-go", "ft-compare-status", "ft-compare"))
    assert button < line < films


def test_first_words_in_chinese_break_after_a_mark_and_never_before_it(tmp_path: Path) -> None:
    """WebKit knows no other place where such a sentence may break, and then breaks it anywhere."""
    with FakeHouse(load_config("cpu")) as client:
        blocks = build.build_app(client, UiConfig(folder=str(tmp_path)))
    told = [one.value for one in blocks.blocks.values() if isinstance(one, gr.HTML) and "ft-lead" in str(one.value)]
    sentences = [words for lead in told for words in re.findall(r'<span lang="zh"[^>]*>(.*?)</span>', lead)]
    assert len(sentences) == 2 * len(told) == 8
    for words in sentences:
        assert re.findall(r"[，。；：、？！](?!<wbr>|$)|(?<![，。；：、？！])<wbr>", words) == [], words


def test_no_function_that_gradio_calls_tells_an_error_raw(tmp_path: Path) -> None:
    with FakeHouse(load_config("cpu")) as client:
        blocks = build.build_app(client, UiConfig(folder=str(tmp_path)))
    told = {f"{call.fn.__module__}.{call.fn.__qualname__}": call.fn for call in blocks.fns.values() if call.fn}
    assert len(told) > 15
    raw = {name for name, function in told.items() if not hasattr(function, "__wrapped__")}
    assert raw == set(), "spoken() says their errors"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"accept-language": "zh-CN,zh;q=0.9"}, "该视频已不存在"),
        ({"cookie": "flashtalk_language=zh"}, "该视频已不存在"),
        ({}, "This film is not here any more"),
    ],
)
def test_a_link_to_a_film_that_is_gone_says_so_in_the_visitors_language(
    tmp_path: Path, headers: dict[str, str], words: str
) -> None:
    with FakeHouse(load_config("cpu")) as client:
        films = FilmStore(build.make_context(client, UiConfig(folder=str(tmp_path))))
        with serve(fastapi.FastAPI(routes=films.routes().routes)) as port:
            link = f"http://127.0.0.1:{port}/{films.address(films.new() / 'film.mp4')}"
            answer = httpx.get(link, headers=headers)
    assert (answer.status_code, answer.text[: len(words)]) == (404, words)


def test_every_text_has_both_languages() -> None:
    sources = [build.frame.TEXTS, build.status.TEXTS, build.film_settings.TEXTS, *(tab.TEXTS for tab in build.TABS)]
    for texts in sources:
        for key, pair in texts.items():
            assert len(pair) == 2, key
            assert all(pair), key


def test_a_project_holds_the_very_files(tmp_path: Path) -> None:
    path = tmp_path / "film.flashtalk.json"
    wishes = Wishes(prompt="hm", seed=4, model="exact", settings={"steps": 2, "fit": "cover"})
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(path, wishes, face, voice, MADE_WITH)
    (tmp_path / "in").mkdir()
    project = read_project(path, tmp_path / "in")
    assert (project.wishes, project.made_with) == (wishes, MADE_WITH)
    assert project.portrait.read_bytes() == FACE.read_bytes()
    assert project.voice.read_bytes() == VOICE.read_bytes()


def test_a_project_made_elsewhere_says_so() -> None:
    assert how_alike(MADE_WITH, dict(MADE_WITH)) == "same"
    assert how_alike(MADE_WITH, MADE_WITH | {"model": "small-2"}) == "other_model"
    for name in ("flashtalk", "device", "settings"):
        assert how_alike(MADE_WITH, MADE_WITH | {name: "other"}) == "other_machine"


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\xff\xfe", b'{"format": "flashtalk-project", "version": 1}'])
def test_a_damaged_project_is_refused(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film.flashtalk.json"
    path.write_bytes(damage)
    with pytest.raises(InputError, match="project file"):
        read_project(path, tmp_path)


def test_a_project_cannot_write_elsewhere(tmp_path: Path) -> None:
    path, home = tmp_path / "p.json", tmp_path / "home"
    home.mkdir()
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(path, Wishes(), face, voice, MADE_WITH)
    path.write_text(path.read_text(encoding="utf-8").replace('"anna.png"', '"../../anna.png"'), encoding="utf-8")
    project = read_project(path, home)
    assert project.portrait.parent == home


def test_errors_of_ours_are_sentences_and_others_hide_their_inside(caplog: pytest.LogCaptureFixture) -> None:
    assert sentence(InputError("the picture is odd")) == "The picture is odd."
    hidden = sentence(ValueError("/etc/passwd"))
    assert "/etc" not in hidden
    assert "/etc/passwd" in caplog.text


def test_errors_are_told_in_the_language_of_whoever_asks() -> None:
    scope = {"type": "http", "headers": [(b"accept-language", b"zh-CN")], "query_string": b""}
    held = LocalContext.request.set(gr.Request(fastapi.Request(scope)))
    try:
        assert sentence(InputError("the picture is odd", code="image_limits")) == CHINESE["image_limits"]
        assert sentence(InputError("the picture is odd", code="never heard of")) == CHINESE["input"]
        assert HAN.search(sentence(ValueError("odd")))
    finally:
        LocalContext.request.reset(held)


@pytest.mark.parametrize("options", [{"lan": True}, {"share": True}, {"lan": True, "share": True}])
def test_whoever_comes_from_elsewhere_needs_a_password(options: dict[str, bool]) -> None:
    doors = app._doors(None, None, **{"lan": False, "share": False, "open_to_all": False} | options)
    assert doors.auth is not None
    assert len(doors.auth[1]) >= 12
    assert doors.host == ("0.0.0.0" if options.get("lan") else "127.0.0.1")


def test_by_default_only_this_machine_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    doors = app._doors(None, None, lan=False, share=False, open_to_all=False)
    assert (doors.host, doors.port, doors.auth, doors.share) == ("127.0.0.1", 7860, None, False)
    with pytest.raises(ConfigError, match="NAME:PASSWORD"):
        app._doors(None, "onlyname", lan=False, share=False, open_to_all=False)


@pytest.mark.skipif(not speak.can_speak(), reason="needs the program espeak-ng, and it is not installed here")
def test_text_becomes_speech(tmp_path: Path) -> None:
    speak.speak("Good morning!", "en", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").stat().st_size > 10_000
    with pytest.raises(InputError, match="no text"):
        speak.speak("  ", "en", tmp_path / "b.wav")
    speak.speak("-w /tmp/elsewhere --version", "en", tmp_path / "c.wav")
    assert (tmp_path / "c.wav").stat().st_size > 10_000


@pytest.mark.skipif(not speak.can_speak(), reason="needs the program espeak-ng, and it is not installed here")
@pytest.mark.parametrize(("text", "language"), [("Good morning!", "en"), ("早上好！", "zh")])
def test_men_of_the_gallery_speak_with_a_mans_voice(text: str, language: str, tmp_path: Path) -> None:
    speakers = {name: speaker_for(ASSETS, str(ASSETS / "portraits" / f"{name}.png")) for name in ("anna", "bruno")}
    assert speakers == {"anna": "female", "bruno": "male"}
    assert speaker_for(ASSETS, str(tmp_path / "bruno.png")) == "female"
    pitch = {}
    for name, speaker in speakers.items():
        speak.speak(text, language, tmp_path / f"{name}.wav", speaker)
        pitch[name] = pitch_hz(read_audio_all(tmp_path / f"{name}.wav", 16000))
    assert pitch["bruno"] < 0.8 * pitch["anna"]


def pitch_hz(samples_S: np.ndarray) -> float:
    """The strongest period from 60 to 400 Hz, in the middle of what was said piece by piece."""
    pieces = [samples_S[at : at + 1024] for at in range(0, len(samples_S) - 1024, 512)]
    spectra = [np.abs(np.fft.rfft(piece * np.hanning(1024), 2048)) ** 2 for piece in pieces if np.ptp(piece) > 0.1]
    periods = [np.fft.irfft(spectrum)[16000 // 400 : 16000 // 60].argmax() for spectrum in spectra]
    return float(16000 / (16000 // 400 + np.median(periods)))
