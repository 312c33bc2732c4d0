"""Benchmark files: what is written is read again, earlier versions too; what is none is refused in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any

import pytest

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine.bench import BenchResult, run_bench
from flashtalk.engine.bench_runs import ENOUGH_CHUNKS, ENOUGH_LOAD_S, Run, layouts, read_runs, write_runs
from flashtalk.engine.ceilings import Ceiling
from flashtalk.engine.memory import Growth
from flashtalk.engine.work import Work
from flashtalk.errors import InputError
from tests.source import ROOT

EARLIER = sorted((ROOT / "docs" / "results").glob("bench-*.json"))


@pytest.fixture(scope="module")
def result(tiny_config: Config) -> BenchResult:
    found = run_bench(tiny_config, chunks=2, warmup=1)
    return with_fields(
        found,
        growth=Growth(60.0, 1.0, 2, None, None),
        work={"denoise": Work(linear=5, peak_bytes=7)},
        ceilings={"copying": Ceiling(4.3, "TB/s", "a lot")},
    )


def test_a_ladder_is_read_as_it_was_written(result: BenchResult, tiny_config: Config, tmp_path: Path) -> None:
    two = replace(tiny_config, {"parallel.ranks": 2})
    runs = [
        Run(name="one", config=tiny_config, result=result, log="one.txt", took_s=3.5),
        Run(name="two", config=two, trouble="it takes 2 GPUs, and this machine has 1"),
    ]
    write_runs(tmp_path / "ladder.json", runs)
    assert read_runs(tmp_path / "ladder.json") == runs
    assert [run.gpus for run in runs] == [1, 2]
    assert [file.name for file in tmp_path.iterdir()] == ["ladder.json"]


def test_a_single_run_has_the_name_of_its_file(result: BenchResult, tiny_config: Config, tmp_path: Path) -> None:
    (tmp_path / "bench-tiny.json").write_text(json.dumps(result.to_tree()))
    assert read_runs(tmp_path / "bench-tiny.json") == [Run(name="bench-tiny", config=tiny_config, result=result)]


@pytest.mark.parametrize("file", EARLIER, ids=[file.stem for file in EARLIER])
def test_files_of_earlier_versions_are_read(file: Path) -> None:
    (run,) = read_runs(file)
    assert run.result
    tree = json.loads(file.read_text())
    assert run.result.fps == tree["fps"]
    ranks = tree["config"].get("parallel", {}).get("ranks", 1)
    assert (run.name, run.gpus) == (file.stem, ranks)
    assert run.is_quick_look == (tree["chunks"] < ENOUGH_CHUNKS or tree.get("load_s", 0) < ENOUGH_LOAD_S)


def test_there_are_files_of_earlier_versions() -> None:
    assert len(EARLIER) >= 8


def _changed(result: BenchResult, **changes: Any) -> str:
    tree = {**result.to_tree(), **changes}
    return json.dumps({name: value for name, value in tree.items() if value != "gone"})


def test_what_is_no_benchmark_is_refused(result: BenchResult, tmp_path: Path) -> None:
    config = result.to_tree()["config"]
    foreign = {
        "not JSON": "Expecting value",
        "[1]": "is not what `flashtalk bench",
        '{"minutes": 60}': "'config' is missing",
        '{"ladder": 9, "rungs": []}': "a ladder of format 9, this version reads 1",
        _changed(result, stages="gone"): "there are no stages",
        _changed(result, fps="fast"): "fps is no number",
        _changed(result, machine="gone"): "machine",
        _changed(result, config={**config, "speed": 9}): "settings that this version does not know",
    }
    for text, why in foreign.items():
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=why) as refused:
            read_runs(tmp_path / "x.json")
        assert refused.value.code == "bench_file"
        assert str(refused.value).startswith("x.json ")
        assert str(tmp_path) not in str(refused.value)
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read"):
        read_runs(tmp_path / "nowhere.json")


def test_what_a_later_version_adds_is_left_out(result: BenchResult, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(_changed(result, colour_of_the_case="grey"))
    assert read_runs(tmp_path / "x.json")[0].result == result


def test_few_chunks_or_a_cold_engine_are_a_quick_look(result: BenchResult, tiny_config: Config) -> None:
    def quick(chunks: int, load_s: float) -> bool:
        return Run(name="", config=tiny_config, result=with_fields(result, chunks=chunks, load_s=load_s)).is_quick_look

    assert (quick(40, 20.0), quick(39, 20.0), quick(40, 19.9)) == (False, True, True)
    assert not Run(name="", config=tiny_config, trouble="failed").is_quick_look


def test_a_node_is_cut_into_groups(result: BenchResult, tiny_config: Config) -> None:
    """Streams of 25 frames a second: a group of 60 carries two, one of 24.9 none."""

    def run(gpus: int, fps: float) -> Run:
        config = replace(tiny_config, {"parallel.ranks": gpus})
        return Run(name=f"{gpus} at {fps}", config=config, result=with_fields(result, fps=fps))

    failed = Run(name="failed", config=replace(tiny_config, {"parallel.ranks": 8}), trouble="it failed")
    found = layouts([run(1, 24.9), run(2, 40.0), run(2, 60.0), run(3, 999.0), failed])
    assert [(each.groups, each.gpus, each.streams) for each in found] == [
        (8, 1, 0),
        (4, 2, 8),
        (2, 4, None),
        (1, 8, None),
    ]
    assert found[1].run
    assert found[1].run.name == "2 at 60.0"


def test_sizes_give_something_up_on_the_ladders_model_only(tiny_config: Config) -> None:
    half = replace(tiny_config, {"stream.width": 32})
    assert Run(name="", config=half).grade.kind == "exact"
    assert Run(name="", config=replace(tiny_config, {"stream.steps": 2})).grade.kind == "approximate"
