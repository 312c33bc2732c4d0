"""What `bench`, `plan` and `convert` show and write."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from flashtalk.commands.bench import bench, bench_tables
from flashtalk.commands.console import Screen
from flashtalk.commands.convert import convert
from flashtalk.commands.plan import plan
from flashtalk.config import Config
from flashtalk.config_file import to_tree
from flashtalk.engine.memory import Growth
from flashtalk.errors import InputError
from tests.published_files import drawn, write_published


def test_a_benchmark_is_shown_and_written(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    result = bench(tiny_config, Screen(), chunks=1, warmup=1, json_file=file)
    written = json.loads(file.read_text())
    assert written["fps"] == result.fps
    shown = capsys.readouterr()
    assert "chunk 1/1 in " in shown.err
    assert f"{result.fps:.1f} frames a second" in shown.out
    assert "untrained: random weights" in shown.out
    assert all(f"\n{stage}" in shown.out for stage in result.stages)
    assert "growth" not in shown.out
    grown = dataclasses.replace(result, peak_device_bytes=5 * 10**9, growth=Growth(120.0, 3e6, 10**7, -2e6, 0))
    Screen().result(bench_tables(grown))
    shown = capsys.readouterr()
    assert "+3.0 MB an hour over 2.0 min of sound" in shown.out
    assert "GPU -2.0 MB an hour" in shown.out
    assert "5.00 GB of the GPU" in shown.out


def test_a_place_that_cannot_be_written_is_told_before_anything_runs(tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder for bench\.json") as refused:
        bench(tiny_config, Screen(), json_file=tmp_path / "nowhere" / "bench.json")
    assert str(tmp_path) not in str(refused.value)


def test_a_plan_is_shown(tiny_config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(tiny_config, Screen())
    shown = capsys.readouterr().out
    assert shown.startswith("A prediction from counted work and measured rates, not a measurement")
    assert f"{made.fps:.1f} frames a second" in shown
    assert "64x64, 144 tokens a chunk, 4 steps" in shown
    assert "near 16:9" in shown
    assert "measured now" in shown
    assert [stage for stage in ("audio", "denoise", "decode", "encode", "one step") if f"\n{stage}" not in shown] == []


def test_a_conversion_is_shown(tiny_wan_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_published(drawn(tiny_wan_config), tmp_path / "model")
    model = tmp_path / "tiny.yaml"
    model.write_text(yaml.safe_dump(to_tree(tiny_wan_config.model)))
    report = convert(tmp_path / "model", Screen(), model=str(model))
    shown = capsys.readouterr()
    assert "converting Wan2.1_VAE.pth" in shown.err
    words = shown.out.replace("\n", "").replace(" ", "")
    assert all(file.sha256[:8] in words for file in report.files)
    assert f"{report.bytes:,}" in words
    convert(tmp_path / "model", Screen(), model=str(model))
    assert "was there" in capsys.readouterr().out
