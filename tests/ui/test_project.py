"""A project file is no larger than what its film was made of, makes the very same film, and holds nobody else up."""

from __future__ import annotations

import json
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from gradio_client import Client as Remote
from gradio_client import handle_file

from flashtalk.config import StreamConfig
from flashtalk.config_app import UiConfig
from flashtalk.config_file import load_config
from flashtalk.engine.engine import EngineInfo
from flashtalk.errors import EngineError, FlashTalkError, InputError
from flashtalk.ui.build import make_context
from flashtalk.ui.compare_page import Variant
from flashtalk.ui.comparing import Comparer
from flashtalk.ui.film_endpoints import _Endpoints
from flashtalk.ui.films import FilmStore
from flashtalk.ui.making import Request, Studio
from flashtalk.ui.material import materials_of
from flashtalk.ui.project import Wishes, how_alike, made_with, read_project, write_project
from tests.serving.fakes import FakeHouse
from tests.ui.live_kit import wait_until
from tests.ui.page_kit import FACE, VOICE, Page, busy_page
from tests.ui.test_visits import HOME, asking

WAIT_S = 20.0
MADE_WITH = {"flashtalk": "1", "model": "m", "device": "cpu", "settings": "s"}
AROUND = 8 << 20
"""Bytes of a voice's file that are no sound, such as a video's pictures."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with busy_page(tmp_path_factory.mktemp("project")) as opened:
        yield opened


def test_of_a_large_file_a_project_keeps_what_was_heard_and_makes_the_same_film(page: Page, tmp_path: Path) -> None:
    plain, large = VOICE.read_bytes(), tmp_path / "large.wav"
    junk = b"JUNK" + struct.pack("<I", AROUND) + bytes(AROUND)
    large.write_bytes(plain[:4] + struct.pack("<I", len(plain) + len(junk) - 8) + plain[8:12] + junk + plain[12:])
    with mock.patch.object(Remote, "_stream_heartbeat", return_value=None):
        remote = Remote(page.address, verbose=False)
        film, project, _ = remote.predict(handle_file(FACE), handle_file(large), api_name="/make_film")
        again, same, figures = remote.predict(handle_file(project), api_name="/repeat_film")
        remote.close()
    assert Path(project).stat().st_size < AROUND / 4
    assert figures["alike"] == "same"
    assert Path(film).read_bytes() == Path(again).read_bytes()
    assert Path(project).read_bytes() == Path(same).read_bytes()
    assert {path.name for path in (page.folder / "app").rglob("*.wav")} == {"large.wav"}, "what was unpacked is gone"


@pytest.mark.parametrize(("face", "sound"), [("data", "data"), ("voice", "a，b.wav"), ("same.bin", "same.bin")])
def test_files_of_one_name_come_back_both(tmp_path: Path, face: str, sound: str) -> None:
    folders = [tmp_path / name for name in ("faces", "sounds", "back")]
    for folder in folders:
        folder.mkdir()
    portrait, voice = folders[0] / face, folders[1] / sound
    portrait.write_bytes(b"a face")
    voice.write_bytes(b"a voice")
    path = tmp_path / "film.flashtalk.json"
    with portrait.open("rb") as one, voice.open("rb") as other:
        write_project(path, Wishes(), one, other, MADE_WITH)
    back = read_project(path, folders[2])
    assert (back.portrait.read_bytes(), back.voice.read_bytes()) == (b"a face", b"a voice")
    assert back.portrait.suffix == portrait.suffix


def test_only_the_machine_that_made_a_film_promises_the_same_again(tmp_path: Path) -> None:
    """Another kind of chip, count of threads or ranks or version of torch rounds otherwise."""
    engine, stream = (
        EngineInfo("m", True, 0, "cpu", "float32", "none", "f", "a long name of a machine " * 9),
        StreamConfig(),
    )
    before = tmp_path / "before.json"
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(tmp_path / "now.json", Wishes(), face, voice, made_with(engine, stream))
    project = json.loads((tmp_path / "now.json").read_text())
    project["made_with"].pop("machine", None)
    before.write_text(json.dumps(project))
    old, new = (read_project(tmp_path / name, tmp_path).made_with for name in ("before.json", "now.json"))
    other = replace(engine, machine=engine.machine[:-2] + "s")
    assert how_alike(new, made_with(engine, stream)) == "same"
    assert how_alike(new, made_with(other, stream)) == "other_machine"
    assert how_alike(old, made_with(engine, stream)) == "other_machine"
    assert how_alike(old, made_with(replace(engine, fingerprint="g"), stream)) == "other_model"


def test_a_file_of_very_many_values_is_no_project_and_is_not_read(tmp_path: Path) -> None:
    """Reading them took ten seconds and gigabytes, and held up everybody."""
    path, began_s = tmp_path / "many.json", time.monotonic()
    path.write_bytes(b"[" + b"[]," * 10_000_000 + b"[]]")
    with pytest.raises(InputError, match="more than a film is made of"):
        read_project(path, tmp_path)
    assert time.monotonic() - began_s < 2


@pytest.mark.parametrize("part", ["wishes", "made_with"])
def test_half_of_a_character_is_no_part_of_a_project(tmp_path: Path, part: str) -> None:
    """No answer with it could be sent, and the page's stream of answers ended there."""
    with FACE.open("rb") as face, VOICE.open("rb") as voice:
        write_project(tmp_path / "film.json", Wishes(), face, voice, MADE_WITH)
    project = json.loads((tmp_path / "film.json").read_text())
    project[part]["prompt" if part == "wishes" else "model"] = "\ud800"
    (tmp_path / "half.json").write_text(json.dumps(project))
    with pytest.raises(InputError) as refused:
        read_project(tmp_path / "half.json", tmp_path)
    assert refused.value.code == "project_damaged"


def test_few_projects_are_read_at_once_by_those_who_may_make_a_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in memory several times."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    reading, most, go_on, told = [0], [0], threading.Event(), list[str]()

    def read(_: str, folder: Path) -> None:
        reading[0] += 1
        most[0] = max(most[0], reading[0])
        (folder / "voice").write_bytes(b"a voice")
        go_on.wait(WAIT_S)
        reading[0] -= 1
        raise InputError("no project", code="project_damaged")

    def repeat(cookie: str) -> None:
        with asking(HOME, cookie, context.browsers), pytest.raises(FlashTalkError) as refused:
            endpoints.repeat_film(str(FACE), "")
        told.append(refused.value.code)

    monkeypatch.setattr("flashtalk.ui.making.read_project", read)
    with FakeHouse(load_config("cpu")) as client, ThreadPoolExecutor(9) as pool:
        context = make_context(client, UiConfig(folder=str(tmp_path / "app"), films_per_visitor=2))
        endpoints = _Endpoints(context, Studio(context, materials_of(context), FilmStore(context)))
        cookies = [context.browsers.new() for _ in range(3)]
        calls = [pool.submit(repeat, cookie) for cookie in cookies * 3]
        wait_until(lambda: len(told) == 3 and reading[0] == 2, WAIT_S)
        assert told == ["films_enough"] * 3, "each has two"
        go_on.set()
        for call in calls:
            call.result(WAIT_S)
    assert (most, told[3:]) == ([2], ["project_damaged"] * 6)
    assert not list((tmp_path / "cache").iterdir())


def test_a_disk_without_room_takes_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=2 << 30))
    with pytest.raises(EngineError, match="disk"):
        read_project(tmp_path / "film.flashtalk.json", tmp_path)


def test_a_disk_without_room_makes_no_film_and_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    room = shutil.disk_usage(tmp_path)
    face, voice = str(FACE), str(VOICE)
    with FakeHouse(load_config("cpu")) as client:
        context = make_context(client, UiConfig(folder=str(tmp_path / "app")))
        studio, variants = Studio(context, materials_of(context), FilmStore(context)), [Variant("A", "", 4, 0, 0.5)]
        monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=2 << 30))
        for make in (
            lambda: studio.make(Request(portrait=face, voice=voice, wishes=Wishes()), context.owners.new_folder),
            lambda: next(Comparer(context).run(face, voice, variants)),
        ):
            with pytest.raises(EngineError) as refused:
                make()
            assert refused.value.code == "disk_full"
        assert client.status().seats_used == 0
