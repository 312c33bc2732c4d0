"""flashtalk/cli.py: answers at once, knows its commands, and says what it was given wrong."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flashtalk import __version__
from flashtalk.errors import CheckpointError
from tests.commands.kit import flashtalk
from tests.source import ROOT

COMMANDS = ["generate", "models", "doctor", "bench", "plan", "convert"]
HEAVY = ["av", "cv2", "numpy", "scipy", "torch", "transformers", "gradio"]


def test_help_loads_nothing_heavy() -> None:
    program = f"import sys, json, flashtalk.cli; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT)) == []


def test_the_entry_point_is_this_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"flashtalk": "flashtalk.__main__:main"}
    assert project["version"] == __version__


def test_python_m_is_the_same_program() -> None:
    said = subprocess.check_output([sys.executable, "-m", "flashtalk", "--version"], cwd=ROOT, text=True)
    assert said == f"flashtalk {__version__}\n"


def test_ctrl_c_while_libraries_are_loaded_is_a_word_and_its_status(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    said = subprocess.run(
        [sys.executable, "-m", "flashtalk", "--version"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout, said.stderr) == (130, "", "stopped\n")


def test_a_program_that_was_stopped_is_not_taken_apart_under_its_threads() -> None:
    """Of a thread that computes, C++ makes an abort; a second Ctrl-C met one now and then."""
    program = (
        "import atexit, sys, flashtalk.cli, flashtalk.__main__ as program; atexit.register(print, 'taken apart'); "
        "flashtalk.cli.main = lambda: sys.exit(130); print('begun'); program.main()"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (130, "begun\n")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk(*arguments) == 0
    said = capsys.readouterr().out
    listed = [line.split()[0] for line in said.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk(command, "-h") == 0
    said = capsys.readouterr().out
    assert "--verbose" in said
    options = said.split("Options:")[1]
    silent = [line for line in options.splitlines() if line.startswith("  -") and len(line.split()) < 3]
    assert silent == []


WRONG = {
    "command": (["genrate"], "generate"),
    "option": (["generate", "--portrat", "a.png"], "--portrait"),
    "missing": (["generate", "--portrait", "a.png"], "--audio"),
    "number": (["generate", "--portrait", "a", "--audio", "b", "--output", "c.mp4", "--seed", "one"], "--seed"),
    "choice": (["generate", "--portrait", "a", "--audio", "b", "--output", "c.mp4", "--fit", "tile"], "contain"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_status_2_with_a_hint(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flashtalk(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert "Traceback" not in said.err


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk() == 2
    assert "generate" in "".join(capsys.readouterr())


WIRED = {
    "bench": (
        ["--config", "small.yaml", "--set", "stream.steps=2", "--chunks", "3", "--json", "out.json"],
        {
            "chunks": 3,
            "minutes": None,
            "load_s": 0.0,
            "sound_ahead": False,
            "json_file": Path("out.json"),
            "place": None,
        },
    ),
    "plan": (["--set", "stream.steps=2", "--device", "h200"], {"device": "h200"}),
    "convert": (
        ["weights", "--model", "small", "--source", "me/mine"],
        {"model": "small", "source": "me/mine", "revision": None},
    ),
}


@pytest.mark.parametrize(("command", "arguments", "wanted"), [(name, *case) for name, case in WIRED.items()], ids=WIRED)
def test_options_reach_their_command(
    command: str, arguments: list[str], wanted: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    module = importlib.import_module(f"flashtalk.commands.{command}")
    monkeypatch.setattr(module, command, lambda first, screen, **options: calls.append((first, options)))
    (tmp_path / "small.yaml").write_text("model: small")
    monkeypatch.chdir(tmp_path)
    assert flashtalk(command, *arguments) == 0
    ((first, options),) = calls
    assert options == wanted
    assert first == Path("weights") if command == "convert" else first.stream.steps == 2


def test_a_plan_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk("plan") == 0
    assert "prediction" in capsys.readouterr().out


def test_a_folder_without_weights_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk("convert", str(tmp_path)) == CheckpointError.exit_status
    assert capsys.readouterr().err.splitlines()[-1].startswith(("error: ", "  "))
