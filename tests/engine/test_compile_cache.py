"""Laws of the folder of compiled kernels: where it is, whose it is, and that a second start finds them there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flashtalk.engine.compile_cache import AUTO, OFF, VARIABLE, keep_compiled
from flashtalk.errors import ConfigError
from tests.engine.compiled_start import start_in_a_process


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "")  # what the test leaves is undone
    monkeypatch.delenv(VARIABLE)
    return tmp_path


def test_by_itself_it_is_the_users_own(home: Path) -> None:
    keep_compiled(AUTO)
    folder = Path(os.environ[VARIABLE])
    assert folder == home / ".cache" / "flashtalk" / "compiled"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_the_environment_is_left_unless_one_is_named(home: Path) -> None:
    os.environ[VARIABLE] = "elsewhere"
    keep_compiled(AUTO)
    assert os.environ[VARIABLE] == "elsewhere"
    keep_compiled(str(home / "named"))
    assert os.environ[VARIABLE] == str(home / "named")


def test_off_leaves_everything_to_torch(home: Path) -> None:
    keep_compiled(OFF)
    assert VARIABLE not in os.environ
    assert not list(home.iterdir())


def test_what_is_no_folder_is_refused_if_it_was_named(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / ".cache").write_text("a file")
    with pytest.raises(ConfigError, match="compile_cache"):
        keep_compiled(str(home / ".cache" / "kernels"))
    keep_compiled(AUTO)
    assert VARIABLE not in os.environ
    assert "not kept" in caplog.text


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++, which is not here")
def test_a_second_start_finds_what_the_first_compiled(tmp_path: Path) -> None:
    first, second = (start_in_a_process(tmp_path / "kernels", "cpu") for _ in range(2))
    assert any((tmp_path / "kernels").iterdir())
    assert first["hits"] == 0
    assert first["misses"] > 0
    assert second == {"hits": first["misses"], "misses": 0, "helpers": 0}
