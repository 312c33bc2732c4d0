"""`flashtalk models` and `flashtalk doctor`: they tell what is there, and the doctor's verdict is to be trusted."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from flashtalk.checkpoint import MANIFEST
from flashtalk.commands import doctor, models
from flashtalk.commands.weights import find_weights
from flashtalk.config import CheckpointConfig, Config
from flashtalk.config_file import config_names, load_config, replace
from flashtalk.engine.engine import Engine
from flashtalk.ops.attention import BACKENDS
from tests.commands.kit import flashtalk
from tests.test_repository import normal, pins

COMMIT = "0123456789abcdef" * 2 + "01234567"


def test_every_model_and_serve_config_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk("models") == 0
    words = capsys.readouterr().out.split()
    for name in (*config_names("models"), *config_names("serve")):
        assert name in words
    assert "Apache-2.0" in words


def test_parameters_are_those_of_an_engine(tiny_config: Config) -> None:
    known = models._known(tiny_config.model, {"mine": tiny_config, "other": load_config("cpu")})
    with Engine(tiny_config) as engine:
        assert known.parameters == engine.info.parameters
    assert known.weights == {"mine": "none named: random, untrained"}
    assert models.count_words(14_130_000_000) == "14.1B"
    assert models.count_words(38_240_000) == "38.2M"


def test_weights_are_found_without_reading_them(tmp_path: Path) -> None:
    assert not find_weights(CheckpointConfig()).missing
    folder = CheckpointConfig(source=str(tmp_path))
    assert find_weights(folder).missing
    assert "flashtalk convert" in find_weights(folder).words
    (tmp_path / MANIFEST).write_text("{}")
    assert not find_weights(folder).missing
    hub = find_weights(CheckpointConfig(source="nobody/nothing-at-all", revision=COMMIT))
    assert not hub.missing
    assert "downloads it" in hub.words
    assert find_weights(CheckpointConfig(source=str(tmp_path / "a" / "b" / "c"))).missing
    assert "commit" in find_weights(CheckpointConfig(source="nobody/nothing-at-all", revision="main")).words


def test_the_doctor_tells_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk("doctor", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["can_run"]
    assert report["problems"] == []
    assert report["versions"]["torch"] == importlib.metadata.version("torch")
    assert None not in report["versions"].values()
    looked_for = {normal(name) for name in report["versions"]}
    assert looked_for == {"flashtalk", "python", *pins("requirements.txt")}, "tests need more, users do not"
    assert set(report["attention"]) == set(BACKENDS)
    assert report["attention"]["sdpa"] == ""
    assert report["encoders"] == {"libx264": True, "aac": True}
    assert set(report["weights"]) == set(config_names("serve"))


def test_what_ships_is_found_from_anywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert flashtalk("doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"]["cpu"].startswith("in ")


def test_the_doctor_speaks_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert flashtalk("doctor") == 0
    said = capsys.readouterr().out
    assert said.endswith("the default config 'cpu' can run\n")
    assert "MISSING" not in said


def ill(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def change(setting: str, value: object) -> None:
        monkeypatch.setattr(doctor, "load_config", lambda name: replace(load_config(name), {setting: value}))

    match name:
        case "package":
            (tmp_path / "requirements.txt").write_text("torch==2.13.0\nno_such_module==1.0\n")
            monkeypatch.setattr(doctor, "REQUIREMENTS", tmp_path / "requirements.txt")
        case "encoder":
            monkeypatch.setattr(doctor, "ENCODERS", ("libx264", "no_such_encoder"))
        case "weights":
            change("checkpoint.source", str(tmp_path / "a" / "b" / "c"))
        case "device":
            change("runtime.device", "cuda:77")
        case "attention":
            change("runtime.attention", "flash9")
        case "memory":
            monkeypatch.setattr(doctor, "_free_bytes", lambda device: 10_000_000)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("package", "no_such_module is not installed"),
        ("encoder", "no no_such_encoder encoder"),
        ("weights", "weights: no folder"),
        ("device", "is not here"),
        ("attention", "'flash9' is unknown"),
        ("memory", "GB free"),
    ],
)
def test_the_doctor_says_what_keeps_the_default_from_running(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ill(name, monkeypatch, tmp_path)
    assert flashtalk("doctor") == 1
    verdict = capsys.readouterr().out.split("the default config ")[1]
    assert verdict.startswith("'cpu' cannot run:\n")
    assert words in verdict
