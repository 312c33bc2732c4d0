"""Named endpoints through gradio_client, errors as sentences, one job for one key, the same film from a project."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from gradio_client import Client as Remote
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from flashtalk.ui.live.messages import Kind
from tests.source import ROOT
from tests.ui.kit import Served
from tests.ui.live_kit import RATE, Address, Talker, talk

FACE = ROOT / "assets/portraits/omar.png"
VOICE = ROOT / "assets/speech/english-human-sorry.wav"
SETTINGS = {"seed": 3}
WHOSE = ("portrait", "voice")


@pytest.fixture(scope="module")
def remote(served: Served) -> Iterator[Remote]:
    client = Remote(served.url, verbose=False, httpx_kwargs={"timeout": 120})
    yield client
    client.close()


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def film_of(remote: Remote, **changes: object) -> tuple[str, str, dict[str, object]]:
    files = {"portrait": handle_file(FACE), "voice": handle_file(VOICE)}
    film, project, figures = remote.predict(**{**files, **SETTINGS, **changes}, api_name="/make_film")
    return film, project, figures


def test_one_key_makes_one_film_and_its_project_makes_it_again(remote: Remote, tmp_path: Path) -> None:
    film, project, figures = film_of(remote, key="one-key-for-one-film")
    assert figures["frames"] == 99
    again, _, _ = film_of(remote, key="one-key-for-one-film")
    assert Path(again).read_bytes() == Path(film).read_bytes()
    with pytest.raises(AppError, match="This key was used for another film"):
        film_of(remote, seed=4, key="one-key-for-one-film")
    repeated, _, figures = remote.predict(project=handle_file(project), key="", api_name="/repeat_film")
    assert figures["alike"] == "same"
    assert Path(repeated).read_bytes() == Path(film).read_bytes()
    text = Path(project).read_text(encoding="utf-8")
    assert json.loads(text)["wishes"]["seed"] == 3
    assert str(ROOT) not in text
    check_mp4(Path(film))
    other = tmp_path / "other.flashtalk.json"
    other.write_text(text.replace(str(figures["model"]), "small-0123456789abcdef"), encoding="utf-8")
    _, _, figures = remote.predict(project=handle_file(other), key="", api_name="/repeat_film")
    assert figures["alike"] == "other_model"


def check_mp4(path: Path) -> None:
    """As long as its sound, its index in front, both kinds of stream whole, and it says who made it."""
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(path) as film:
        pictures = sum(1 for _ in film.decode(video=0))
        assert "AI-generated" in film.metadata["comment"]
    with av.open(path) as film:
        sound = sum(frame.samples for frame in film.decode(audio=0)) / film.streams.audio[0].rate
    assert pictures == 99
    assert sound == pytest.approx(pictures / 25, abs=0.06)
    assert sound >= pictures / 25 - 0.025


def test_compare_gives_figures(remote: Remote) -> None:
    files = {"portrait": handle_file(FACE), "voice": handle_file(VOICE)}
    figures = remote.predict(**files, variants=[{}, {"seed": 1}], key="", api_name="/compare")
    assert [row["letter"] for row in figures] == ["A", "B"]
    assert [row["seed"] for row in figures] == [0, 1]
    assert all(row["frames_per_second"] > 0 and 0.2 < row["sharpness"] < 2 for row in figures)
    assert all(-1 <= row["sync"] <= 1 for row in figures)


@pytest.mark.parametrize(
    ("variants", "words"),
    [([{}], "2 to 4"), ([{}, {"sed": 1}], "some of model"), ([{}, {"steps": "x"}], "Variant B"), ({}, "2 to 4")],
)
def test_wrong_variants_are_sentences(remote: Remote, variants: object, words: str) -> None:
    files = {"portrait": handle_file(FACE), "voice": handle_file(VOICE)}
    with pytest.raises(AppError, match=words):
        remote.predict(**files, variants=variants, key="", api_name="/compare")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 5}, "steps"),
        ({"size": "big"}, "write it like"),
        ({"fit": "stretch"}, "fit"),
        ({"model": "huge"}, "No variant"),
        ({"key": "short"}, "letters"),
    ],
)
def test_wrong_settings_are_sentences(remote: Remote, changes: dict[str, object], words: str) -> None:
    with pytest.raises(AppError, match=words) as error:
        film_of(remote, **changes)
    assert "Traceback" not in str(error.value)
    assert str(ROOT) not in str(error.value)


def test_a_file_that_is_no_picture_is_said_to_be_none(remote: Remote, tmp_path: Path) -> None:
    broken = tmp_path / "face.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 500)
    with pytest.raises(AppError, match=r"picture|image") as error:
        film_of(remote, portrait=handle_file(broken))
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("name", ["make_film", "repeat_film", "compare"])
def test_endpoints_tell_what_they_take(remote: Remote, name: str) -> None:
    said = remote.view_api(return_format="dict", print_info=False)["named_endpoints"][f"/{name}"]
    assert len(said["description"]) > 60
    for parameter in said["parameters"]:
        assert parameter["label"].startswith(parameter["parameter_name"]), parameter["label"]
    optional = {one["parameter_name"] for one in said["parameters"] if one["parameter_has_default"]}
    assert "key" in optional


def test_programs_are_told_whose_face_and_voice_they_may_bring(remote: Remote) -> None:
    endpoints = remote.view_api(return_format="dict", print_info=False)["named_endpoints"]
    told = [one for name in endpoints for one in endpoints[name]["parameters"] if one["parameter_name"] in WHOSE]
    assert len(told) == 7
    assert all("who agreed to it" in one["label"] for one in told)


def test_films_need_their_token(served: Served) -> None:
    assert status_of(f"{served.url}/ft/films/abc.def/film.mp4") == 404
    assert status_of(f"{served.url}/ft/public/static/../../app.py") == 404
    assert status_of(f"{served.url}/ft/public/static/%2e%2e/build.py") == 404
    assert status_of(f"{served.url}/ft/public/static/icon.png") == 200
    assert status_of(f"{served.url}/gradio_api/file={served.folder / 'secret'}") == 404
    assert status_of(f"{served.url}/gradio_api/file=/etc/hostname") == 404


# The live socket.


def test_a_program_talks_live_with_a_face_of_its_own(remote: Remote, served: Served) -> None:
    """What the endpoint tells is all that a program needs: pictures of its own size come back for its sound."""
    told = remote.predict(handle_file(FACE), "", "", "webcodecs", api_name="/open_live")

    async def act(talker: Talker) -> None:
        await talker.speak(np.zeros(2 * RATE, np.float32))
        await talker.until(lambda: talker.of(Kind.PICTURE) and talker.of(Kind.SOUND))

    port = int(served.url.rpartition(":")[2])
    assert told["socket"] == "live/socket"
    talker = talk(Address(port), act, **told["hello"])
    assert talker.words("ready")[0]["sample_rate"] == RATE
    assert told["layout"]["kinds"][str(int(Kind.MICROPHONE))] == "microphone"


@pytest.mark.parametrize(
    ("face", "player", "words"),
    [("nobody", "webcodecs", "not here any more"), ("omar", "flash", "choose one of")],
)
def test_a_live_wish_that_cannot_be_is_refused_at_once(remote: Remote, face: str, player: str, words: str) -> None:
    with pytest.raises(AppError, match=words):
        remote.predict(None, face, "", player, api_name="/open_live")
