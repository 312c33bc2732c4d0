"""Every training config loads, its networks build on meta, and 14B has a memory plan that fits eight GPUs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flashtalk.errors import ConfigError
from flashtalk.models.build import build_models_on_meta
from train.config import CodecTraining, DmdTraining, SftTraining, VoiceTraining, load_train_config
from train.launch import command, overrides_of

KINDS = {"codec": CodecTraining, "voice": VoiceTraining, "sft": SftTraining, "dmd": DmdTraining}
FOLDER = Path(__file__).parents[2] / "configs" / "train"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml") if not file.stem.startswith("evaluate"))
GPU_GB = 141


@pytest.mark.parametrize("name", NAMES)
def test_config_loads_and_builds_on_meta(name: str) -> None:
    config = load_train_config(KINDS[name.split("-", maxsplit=1)[0]], name)
    modules = build_models_on_meta(config.model)
    assert all(p.is_meta for p in modules["dit"].parameters())


@pytest.mark.parametrize("stage", ["sft", "dmd"])
def test_14b_has_a_memory_plan_that_fits(stage: str) -> None:
    module = __import__(f"train.{stage}", fromlist=["main"])
    app = __import__("typer").Typer()
    app.command()(module.main)
    told = CliRunner().invoke(app, [f"{stage}-14b", "--plan", "8"])
    assert told.exit_code == 0, told.output
    assert 40 < float(re.findall(r"peak\s+([\d.]+)", told.output)[0]) < GPU_GB


@pytest.mark.parametrize(
    ("settings", "word"),
    [(["batch=6", "accumulate=4"], "multiple"), (["steps=[3]"], "distilled"), (["most_chunks=9"], "chunks")],
)
def test_settings_that_cannot_work_are_told(settings: list[str], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load_train_config(DmdTraining, "dmd-small", overrides_of(settings))


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="student_optim"):
        load_train_config(DmdTraining, "dmd-small", {"student_optimiser.learning_rate": 1.0})
    with pytest.raises(ConfigError, match="name=value"):
        overrides_of(["batch"])


def test_errors_of_commands_are_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise ConfigError("nothing fits")

    with pytest.raises(__import__("typer").Exit):
        command(fails)()
    assert capsys.readouterr().err == "error: nothing fits\n"
