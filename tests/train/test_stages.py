"""All stages one after the other at tiny size, through the commands, until the engine serves what came out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from flashtalk.config import Config
from flashtalk.config_file import replace, to_tree
from flashtalk.engine.engine import Engine
from train import codec, dmd, join, sft, voice
from train.synthetic.espeak import SpeechMaker


def espeak_missing() -> bool:
    try:
        SpeechMaker()
    except Exception:
        return True
    return False


pytestmark = pytest.mark.skipif(espeak_missing(), reason="needs libespeak-ng")


def run(module: object, *arguments: str) -> None:
    import typer

    app = typer.Typer()
    app.command()(module.main)
    told = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert told.exit_code == 0, told.output


def settings(tree: dict[str, object]) -> list[str]:
    return [part for name, value in tree.items() for part in ("--set", f"{name}={json.dumps(value)}")]


@pytest.fixture(scope="module")
def checkpoint(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codec, voice, SFT, DMD: two clips of one chunk each and two iterations a stage."""
    out = tmp_path_factory.mktemp("stages")
    (out / "tiny.yaml").write_text(yaml.safe_dump(to_tree(tiny_config.model)))
    data = {"clips": 2, "chunks": 2, "width": 64, "height": 64, "workers": 1, "compiled": False, "speech": {}}
    common = {f"data.{name}": value for name, value in data.items()}
    common |= {"run.iterations": 2, "run.log_every": 1, "stream": to_tree(tiny_config.stream), "batch": 2}
    shard = {"shard.placement": "replicate", "shard.compile": False}
    model, cache = {"model": str(out / "tiny.yaml")}, {"data.cache": str(out / "cache"), "data.voices": 1}
    run(codec, "codec-small", *settings(common | model | {"run.out": str(out / "codec"), "frames": 5}))
    run(voice, "voice-small", *settings(common | model | {"run.out": str(out / "voice")}))
    run(join, str(out / "start"), str(out / "codec/checkpoint"), str(out / "voice/checkpoint"))
    fitted = {"model": str(out / "start/model.yaml"), "weights": str(out / "start"), **cache, **shard}
    run(sft, "sft-small", *settings(common | fitted | {"run.out": str(out / "sft")}))
    fitted |= {"weights": str(out / "sft/checkpoint"), "most_chunks": 2}
    run(dmd, "dmd-small", *settings(common | fitted | {"run.out": str(out / "dmd")}))
    return out / "dmd" / "checkpoint"


def test_the_engine_serves_what_the_stages_made(checkpoint: Path, tiny_config: Config) -> None:
    tree = yaml.safe_load((checkpoint / "model.yaml").read_text())
    config = replace(tiny_config, {"model": tree, "checkpoint.source": str(checkpoint)})
    assert len(config.model.codec.latent_std) == config.model.codec.latent_channels
    with Engine(config) as engine:
        assert engine.info.trained
        session = engine.open(np.full((64, 64, 3), 90, np.uint8))
        chunks = [*session.feed(np.random.default_rng(0).uniform(-0.1, 0.1, 20000).astype(np.float32))]
    assert chunks[0].frames_FHWC.shape == (28, 64, 64, 3)


def test_a_run_tells_and_resumes(checkpoint: Path) -> None:
    run_folder = checkpoint.parent
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [0, 1]
    assert (run_folder / "states" / "step-00000002").is_dir()
