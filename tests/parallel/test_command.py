"""`flashtalk bench` on several ranks: one command starts them, each measures, the first one tells; failures end all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flashtalk import Config, ConfigError
from flashtalk.cli_ranks import own_place, run_ranks
from flashtalk.config_file import replace, to_tree
from flashtalk.errors import WorkerLost
from flashtalk.parallel.groups import Place
from flashtalk.serving.launch import RANKS_ENVIRONMENT

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}


def test_one_command_measures_two_ranks(tiny_config: Config, tmp_path: Path) -> None:
    config = replace(tiny_config, {"stream.audio_context_s": 2.0, "stream.steps": 2})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(to_tree(config)), encoding="utf-8")
    options = ["--config", str(tmp_path / "tiny.yaml"), "--gpus", "2", "--chunks", "2", "--json", str(tmp_path / "r")]
    command = [sys.executable, "-m", "flashtalk", "bench", *options]
    done = subprocess.run(command, env=quiet(), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("real-time factor") == 1
    assert json.loads((tmp_path / "r").read_text())["engine"]["ranks"] == 2


def test_a_rank_that_fails_ends_all(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkerLost, match="status 2"):
        run_ranks(2, ["bench", "--config", "there-is-no-such-config"])
    assert "there-is-no-such-config" in capfd.readouterr().err


@pytest.fixture
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANKS_ENVIRONMENT:
        monkeypatch.setenv(name, "so that it is restored")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_unset")
def test_ranks_use_no_multicast_over_nvlink(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody set stays."""
    monkeypatch.setenv("NCCL_NVLS_ENABLE", "2")
    own_place(TORCHRUN)
    assert os.environ["TORCH_SYMM_MEM_DISABLE_MULTICAST"] == "1"
    assert os.environ.pop("NCCL_NVLS_ENABLE") == "2"
    own_place(TORCHRUN)
    assert os.environ["NCCL_NVLS_ENABLE"] == "0"


@pytest.mark.usefixtures("_unset")
def test_the_place_is_what_the_launcher_says() -> None:
    assert own_place({}) is None
    assert own_place(TORCHRUN) == Place(3, 8, 1, "tcp://10.0.0.1:29500")
    with pytest.raises(ConfigError, match="not WORLD_SIZE"):
        own_place({name: value for name, value in TORCHRUN.items() if name != "WORLD_SIZE"})


def quiet() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(Path.cwd())}
