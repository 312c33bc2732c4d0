"""A project file is no larger than what its film was made of, makes the very same film, and holds nobody else up."""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from gradio_client import Client as Remote
from gradio_client import handle_file

from flashtalk.errors import EngineError, InputError
from flashtalk.ui.project import read_project
from tests.ui.page_kit import FACE, VOICE, Page, busy_page

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
    assert {path.name for path in (page.folder / "app").rglob("*.wav")} == {"large.wav", "voice.wav"}


def test_a_file_of_very_many_values_is_no_project_and_is_not_read(tmp_path: Path) -> None:
    """Reading them took ten seconds and gigabytes, and held up everybody."""
    path, began_s = tmp_path / "many.json", time.monotonic()
    path.write_bytes(b"[" + b"[]," * 10_000_000 + b"[]]")
    with pytest.raises(InputError, match="more than a film is made of"):
        read_project(path, tmp_path)
    assert time.monotonic() - began_s < 2


def test_a_disk_without_room_takes_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=2 << 30))
    with pytest.raises(EngineError, match="disk"):
        read_project(tmp_path / "film.flashtalk.json", tmp_path)
