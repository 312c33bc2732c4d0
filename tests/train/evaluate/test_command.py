"""`python -m train.evaluate` from files to files: settings, a checkpoint, a judge and a corpus in, a report out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from flashtalk.config_file import config_names, to_tree
from train.config import load_train_config
from train.evaluate.__main__ import main
from train.evaluate.config import EvaluationConfig


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


@pytest.fixture
def arguments(config: EvaluationConfig, tmp_path: Path) -> list[str]:
    tree = to_tree(config)
    file = tmp_path / "evaluation.yaml"
    file.write_text(yaml.safe_dump({**tree, "variants": tree["variants"][:1]}))
    return [str(file)]


def test_command_writes_a_report(command: typer.Typer, arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    changes = ["--out", str(out), "--set", "variants=[{name: guided, sampler: teacher, steps: 3, guidance_audio: 2.5}]"]
    result = CliRunner().invoke(command, [*arguments, *changes])
    assert result.exit_code == 0, result.output
    tree = json.loads((out / "report.json").read_text())
    (variant,) = tree["variants"]
    assert variant["variant"]["guidance_audio"] == 2.5
    assert [film["voice"] for film in variant["films"][:3]] == ["babble:1", "babble:1", "human:2"]
    assert variant["summary"]["human_lip_correlation_warped"] is not None, "its phonemes give a truth"
    assert tree["judge"]["jaw"]["r2"] == 0.5
    lines = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    kept = [json.loads(line) for line in (out / "films.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == [line["kind"] for line in kept]
    assert len(lines) == len(variant["films"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--set", "stream.width=250"], "multiple of"),
        (["--set", "variants=[{name: odd, steps: 3}]"], "distilled for 4, 2 steps"),
        (["--set", "variants=[{name: lost, checkpoint: nowhere}]"], "no folder out/train/nowhere"),
        (["--set", "variants=[{name: lost, decoder: nowhere}]"], "no folder out/train/nowhere"),
        (["--set", "variants=[{name: odd, guidence_text: 3}]"], "did you mean"),
        (["--set", "variants=[]"], "at least one"),
        (["--set", "films.characters=0"], "1 or more"),
        (["--device", "tpu"], "unknown"),
        (["--set", "speech.corpus=."], "holds no corpus"),
        (["--set", "films.split=validation"], "no voice of the split"),
        (["--set", "long.seconds=5"], "30 s or more"),
        (["--judge", "."], "train a judge"),
    ],
)
def test_mistakes_are_told_before_anything_is_filmed(
    command: typer.Typer,
    arguments: list[str],
    change: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, [*arguments, *change])
    assert result.exit_code not in (0, 1), result.output
    assert words in " ".join(result.output.split())
    assert "{" not in result.output, "no film was made"


@pytest.mark.parametrize("name", [name for name in config_names("train") if name.startswith("evaluate")])
def test_configs_that_ship_are_whole(name: str) -> None:
    assert load_train_config(EvaluationConfig, name).variants


def test_nothing_needs_what_a_rented_gpu_lacks() -> None:
    """No PyAV: checked in a process of its own, in which importing it fails."""
    code = "import sys; sys.modules['av'] = None; import train.evaluate.__main__, train.evaluate.jobs"
    subprocess.run([sys.executable, "-c", code], check=True)
