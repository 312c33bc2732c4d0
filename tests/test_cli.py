"""flashtalk/cli.py: answers at once, knows its commands, and says what it was given wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest

from flashtalk import __version__
from tests.commands.kit import flashtalk
from tests.source import ROOT

COMMANDS = ["generate", "models", "doctor"]
HEAVY = ["av", "cv2", "numpy", "scipy", "torch", "transformers", "gradio"]


def test_help_loads_nothing_heavy() -> None:
    program = f"import sys, json, flashtalk.cli; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT)) == []


def test_the_entry_point_is_this_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"flashtalk": "flashtalk.cli:main"}
    assert project["version"] == __version__


def test_python_m_is_the_same_program() -> None:
    said = subprocess.check_output([sys.executable, "-m", "flashtalk.cli", "--version"], cwd=ROOT, text=True)
    assert said == f"flashtalk {__version__}\n"


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
