"""commands/settings.py: command line > file > default."""

from __future__ import annotations

from pathlib import Path

import pytest

from flashtalk.commands.settings import FILE_LOOKAHEAD_FRAMES, parse_assignments, read_config, read_film_config
from flashtalk.config import Config
from flashtalk.config_file import load_config
from flashtalk.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("model: small\nstream:\n  seed: 5\n  lookahead_frames: 3\nruntime:\n  device: cpu\n")
    return path


def film_config(name: object, *assignments: str, **options: object) -> Config:
    return read_film_config(str(name), assignments, **options)[0]


def test_the_command_line_goes_before_the_file_and_the_file_before_the_default(file: Path) -> None:
    assert film_config("cpu").stream.seed == 0
    assert film_config(file).stream.seed == 5
    assert film_config(file, "stream.seed=6").stream.seed == 6
    assert film_config(file, "stream.seed=6", seed=7).stream.seed == 7
    assert film_config(file, fit="contain", steps=2).stream.fit == "contain"


def test_files_are_heard_ahead_unless_the_user_says_otherwise(file: Path) -> None:
    assert load_config("cpu").stream.lookahead_frames == 0
    assert film_config("cpu").stream.lookahead_frames == FILE_LOOKAHEAD_FRAMES == 10
    assert film_config(file).stream.lookahead_frames == 3
    assert film_config("cpu", "stream.lookahead_frames=0").stream.lookahead_frames == 0
    assert read_config("cpu", []) == load_config("cpu")


@pytest.mark.parametrize(
    ("given", "wanted"), [("256x256", (256, 256)), ("250x300", (256, 288)), ("1X1", (32, 32)), ("512x500", (512, 512))]
)
def test_sizes_are_snapped_and_said(given: str, wanted: tuple[int, int]) -> None:
    config, notes = read_film_config("cpu", [], size=given)
    assert (config.stream.width, config.stream.height) == wanted
    assert bool(notes) == (given.lower() != "{}x{}".format(*wanted))
    assert all(f"{wanted[0]}x{wanted[1]}" in note for note in notes)


def test_assignments_are_yaml() -> None:
    given = ["a.b=2", "c=x=y", "d.e.f=null", "g=[1, 2]", "h=0.5", "i="]
    wanted = {"a.b": 2, "c": "x=y", "d.e.f": None, "g": [1, 2], "h": 0.5, "i": None}
    assert parse_assignments(given) == wanted


@pytest.mark.parametrize("wrong", ["", "=1", "a", "a..b=1", "a b=1", "a=["])
def test_wrong_assignments_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        parse_assignments([wrong])
