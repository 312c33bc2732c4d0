"""`python -m train.evaluate` from files to files: a checkpoint, a judge and a corpus folder in, a report out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from flashtalk.config import Config
from flashtalk.config_file import to_tree
from tests.train.evaluate.conftest import Babble
from train.evaluate.__main__ import main
from train.stages import MODEL_FILE
from train.synthetic import corpus


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


@pytest.fixture(scope="module")
def speech(babble: Babble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    made, person = babble.speak(1, "test", 2.0)[0], babble.speak(2, "test", 2.0)[0]
    corpus.write(folder, [made, dataclasses.replace(person, source="human", voice="human:2")])
    return folder


@pytest.fixture
def arguments(checkpoint: Path, judge_folder: Path, speech: Path, tiny_config: Config, tmp_path: Path) -> list[str]:
    (checkpoint / MODEL_FILE).write_text(yaml.safe_dump(to_tree(tiny_config.model)))
    options = {"checkpoint": checkpoint, "judge": judge_folder, "speech": speech, "out": tmp_path / "report"}
    options |= {"size": "64x64", "device": "cpu", "precision": "float32", "characters": 1, "seconds": 1.2}
    return [
        word
        for name, value in {**options, "long-seconds": 0, "samples-per-axis": 1}.items()
        for word in (f"--{name}", str(value))
    ]


TEACHER = ["--sampler", "teacher", "--teacher-steps", "3"]


@pytest.mark.parametrize("sampler", [["--steps", "2"], pytest.param(TEACHER, marks=pytest.mark.slow)])
def test_command_writes_a_report(
    command: typer.Typer, arguments: list[str], sampler: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.evaluate.sounds.QUIET_S", 0.8)
    result = CliRunner().invoke(command, [*arguments, *sampler])
    assert result.exit_code == 0, result.output
    tree = json.loads((tmp_path / "report" / "report.json").read_text())
    assert tree["settings"]["steps"] == int(sampler[-1])
    assert ("guidance_audio" in tree["settings"]) == ("teacher" in sampler)
    assert [film["voice"] for film in tree["films"][:2]] == ["babble:1", "human:2"]
    assert tree["summary"]["human_lip_correlation_warped"] is not None, "its phonemes give a truth"
    assert tree["judge"]["jaw"]["r2"] == 0.5
    lines = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    assert len(lines) == len(tree["films"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--size", "big"], "WIDTHxHEIGHT"),
        (["--steps", "3"], "distilled for 4, 2 steps"),
        (["--device", "tpu"], "unknown"),
        (["--speech", "."], "holds no corpus"),
        (["--split", "validation"], "no voice of the split"),
        (["--long-seconds", "5"], "30 s or more"),
        (["--judge", "."], "train a judge"),
    ],
)
def test_mistakes_are_told_before_anything_is_filmed(
    command: typer.Typer, arguments: list[str], change: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(arguments[arguments.index("--out") + 1]).parent)
    result = CliRunner().invoke(command, [*arguments, *change])
    assert result.exit_code not in (0, 1), result.output
    assert words in " ".join(result.output.split())
    assert "{" not in result.output, "no film was made"
