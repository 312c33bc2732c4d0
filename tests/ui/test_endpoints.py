"""Named endpoints through gradio_client, errors as sentences, one job for one key, the same film from a project."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client as Remote
from gradio_client import handle_file
from gradio_client.exceptions import AppError

from flashtalk.media.audio import probe_audio
from flashtalk.ui.project import read_project
from tests.source import ROOT
from tests.ui.kit import Served

FACE = ROOT / "assets/portraits/omar.png"
VOICE = ROOT / "assets/speech/english-human-sorry.wav"
SETTINGS = ("", 3, 2, "256×256", "cover", 1.0, True)


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


def test_make_film_gives_a_film_and_the_project_gives_it_again(remote: Remote, tmp_path: Path) -> None:
    film, project, figures = remote.predict(
        handle_file(FACE), handle_file(VOICE), *SETTINGS, "one-key-for-one-film", api_name="/make_film"
    )
    sound = probe_audio(film)
    assert sound.duration_s == pytest.approx(3.92, abs=0.05)
    assert figures["frames"] == 99
    again, _, _ = remote.predict(
        handle_file(FACE), handle_file(VOICE), *SETTINGS, "one-key-for-one-film", api_name="/make_film"
    )
    assert Path(again).read_bytes() == Path(film).read_bytes()
    with pytest.raises(AppError, match="This key was used for another film"):
        remote.predict(
            handle_file(FACE), handle_file(VOICE), "", 4, *SETTINGS[2:], "one-key-for-one-film", api_name="/make_film"
        )
    opened = read_project(project, tmp_path)
    repeated, _, _ = remote.predict(
        handle_file(opened.portrait),
        handle_file(opened.voice),
        opened.wishes.prompt,
        opened.wishes.seed,
        opened.wishes.settings["steps"],
        *SETTINGS[3:],
        "",
        api_name="/make_film",
    )
    assert Path(repeated).read_bytes() == Path(film).read_bytes()
    tree = json.loads(Path(project).read_text(encoding="utf-8"))
    assert tree["wishes"]["seed"] == 3
    assert str(ROOT) not in Path(project).read_text(encoding="utf-8")


def test_compare_gives_figures(remote: Remote) -> None:
    off = (False, 2, 0, 1.0)
    figures = remote.predict(
        handle_file(FACE), handle_file(VOICE), True, 2, 0, 1.0, True, 2, 1, 1.0, *off, *off, api_name="/compare"
    )
    assert [row["letter"] for row in figures] == ["A", "B"]
    assert all(row["frames_per_second"] > 0 and row["sharpness"] > 0 for row in figures)


@pytest.mark.parametrize(("place", "value", "words"), [(2, 5, "not in the list"), (3, "big", "not in the list")])
def test_wrong_settings_are_sentences(remote: Remote, place: int, value: object, words: str) -> None:
    settings = [*SETTINGS[:place], value, *SETTINGS[place + 1 :]]
    with pytest.raises(AppError, match=words) as error:
        remote.predict(handle_file(FACE), handle_file(VOICE), *settings, "", api_name="/make_film")
    assert "Traceback" not in str(error.value)
    assert str(ROOT) not in str(error.value)


def test_a_file_that_is_no_picture_is_said_to_be_none(remote: Remote, tmp_path: Path) -> None:
    broken = tmp_path / "face.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 500)
    with pytest.raises(AppError, match=r"picture|image") as error:
        remote.predict(handle_file(broken), handle_file(VOICE), *SETTINGS, "", api_name="/make_film")
    assert str(tmp_path) not in str(error.value)


def test_films_need_their_token(served: Served) -> None:
    assert status_of(f"{served.url}/ft/films/abc.def/film.mp4") == 404
    assert status_of(f"{served.url}/ft/public/static/../../app.py") == 404
    assert status_of(f"{served.url}/ft/public/static/%2e%2e/build.py") == 404
    assert status_of(f"{served.url}/ft/public/static/icon.png") == 200
    assert status_of(f"{served.url}/gradio_api/file={served.folder / 'secret'}") == 403
    assert status_of(f"{served.url}/gradio_api/file=/etc/hostname") == 403
