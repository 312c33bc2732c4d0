"""`flashtalk bench --ladder` and `--from`: every rung is a column or says why not; nothing measured is lost."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from flashtalk.commands import bench as bench_module
from flashtalk.commands import bench_ladder as module
from flashtalk.commands.bench import bench
from flashtalk.commands.bench_ladder import LadderOrder, run_ladder, show_files
from flashtalk.commands.bench_tables import tables
from flashtalk.commands.console import Screen
from flashtalk.config import Config
from flashtalk.config_file import replace, to_tree
from flashtalk.engine.bench import BenchResult, StageTime, run_bench
from flashtalk.engine.bench_runs import Run, read_runs, write_runs
from flashtalk.engine.ceilings import ATTENTION, SERVED_PRODUCTS, Ceiling
from flashtalk.engine.work import Work
from flashtalk.errors import ConfigError, InputError, WorkerLost
from tests.commands.kit import flashtalk
from tests.source import ROOT

SHORT = {"stream.audio_context_s": 2.0, "stream.steps": 2}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the processes that are started: threads of several ranks would wait for each other."""
    for name, value in {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def folder(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One rank, two ranks, and one whose kernel is not for a CPU."""
    folder = tmp_path_factory.mktemp("rungs")
    rungs: dict[str, dict[str, object]] = {
        "alone": {},
        "pair": {"parallel.ranks": 2},
        "wrong": {"runtime.attention": "flash2"},
    }
    for name, changes in rungs.items():
        tree = to_tree(replace(tiny_config, {**SHORT, **changes}))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def result(tiny_config: Config) -> BenchResult:
    return run_bench(tiny_config, chunks=2, warmup=1)


def test_a_ladder_from_end_to_end(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As people run it; a rung that fails and one that this machine has no GPUs for are told."""
    names = [str(folder / f"{name}.yaml") for name in ("alone", "pair", "wrong")]
    numbers = ["--chunks", "2", "--load", "0.5", "--ahead", "--json", str(tmp_path / "ladder.json")]
    assert flashtalk("bench", "--ladder", "--rungs", ",".join([*names, "h200x8"]), "--no-eager", *numbers) == 0
    shown = capfd.readouterr().out
    runs = {run.name: run for run in read_runs(tmp_path / "ladder.json")}
    assert {name: run.gpus for name, run in runs.items()} == {"alone": 1, "wrong": 1, "pair": 2, "h200x8": 8}
    for name in ("alone", "pair"):
        found = runs[name].result
        assert found, runs[name].trouble
        assert (found.chunks, found.engine["ranks"], len(found.chunk_s)) == (2, runs[name].gpus, 2)
        assert found.load_s > 0.4
        assert found.sound_ahead
        assert found.work["denoise"].flops > 1e6
        assert (found.ceilings["all-to-all"].value is not None) == (name == "pair")
        assert "chunk 2/2" in (tmp_path / f"ladder-{name}.txt").read_text()
    assert "attention 'flash2' cannot run on cpu" in runs["wrong"].trouble
    assert runs["h200x8"].trouble == "it takes 8 GPUs, and this machine has 0"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *(f"ladder-{name}.txt" for name in ("alone", "pair", "wrong")),
        "ladder.json",
    ]
    assert flashtalk("bench", "--from", str(tmp_path / "ladder.json")) == 0
    assert capfd.readouterr().out == shown
    assert "UNTRAINED: random weights" in shown


def test_the_file_holds_what_was_done_before_a_kill(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: BenchResult
) -> None:
    def run(rung: module._Rung, _order: LadderOrder) -> Run:
        if rung.planned.name == "pair":
            raise KeyboardInterrupt
        return dataclasses.replace(rung.planned, result=result)

    monkeypatch.setattr(module, "_run", run)
    order = LadderOrder(file=tmp_path / "x.json", rungs=(str(folder / "pair.yaml"), str(folder / "alone.yaml")))
    with pytest.raises(KeyboardInterrupt):
        run_ladder(order, Screen(quiet=True))
    assert [(run.name, run.result and run.result.fps) for run in read_runs(tmp_path / "x.json")] == [
        ("alone", result.fps)
    ]


def test_a_rung_that_takes_too_long_ends_with_all_its_ranks(folder: Path, tmp_path: Path) -> None:
    order = LadderOrder(file=tmp_path / "x.json", rungs=(str(folder / "pair.yaml"),), chunks=10**6, limit_s=4.0)
    (run,) = run_ladder(order, Screen(quiet=True))
    assert run.trouble == "it was ended after 4 s"
    assert run.result is None
    assert [process.pid for process in psutil.process_iter(["cmdline"]) if _names(process, "pair.yaml", folder)] == []
    assert (tmp_path / "x-pair.txt").read_text().startswith("flashtalk bench --config ")


def _names(process: psutil.Process, name: str, folder: Path) -> bool:
    return str(folder / name) in (process.info["cmdline"] or [])


def test_a_rung_ends_with_who_started_it(folder: Path, tmp_path: Path) -> None:
    """However that ends."""
    arguments = ["bench", "--config", str(folder / "alone.yaml"), "--chunks", "1000000"]
    nobody = subprocess.Popen([sys.executable, "-c", ""])
    nobody.wait()
    command = [sys.executable, "-c", module.CHILD, str(nobody.pid), *arguments]
    assert subprocess.run(command, timeout=60, check=False).returncode == 1


def test_measured_figures_are_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("precious")
    with pytest.raises(InputError, match=r"x\.json is there"):
        run_ladder(LadderOrder(file=tmp_path / "x.json"), Screen(quiet=True))
    with pytest.raises(InputError, match=r"x\.json is there"):
        show_files([], Screen(quiet=True), json_file=tmp_path / "x.json")
    with pytest.raises(InputError, match=r"there is no folder for x\.json"):
        run_ladder(LadderOrder(file=tmp_path / "nowhere" / "x.json"), Screen(quiet=True))
    assert (tmp_path / "x.json").read_text() == "precious"


def test_a_streams_figures_are_written_before_ceilings_are_measured(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_arguments: object) -> None:
        raise WorkerLost("a rank was lost", code="rank_lost")

    monkeypatch.setattr(bench_module, "measure_ceilings", lose)
    with pytest.raises(WorkerLost):
        bench(tiny_config, Screen(quiet=True), chunks=1, warmup=1, json_file=tmp_path / "x.json")
    assert read_runs(tmp_path / "x.json")[0].result


def test_the_ladder_is_climbed_by_gpus_the_exact_rung_first() -> None:
    steps = [rung.planned for rung in module._rungs(LadderOrder(file=Path("x.json"), gpus=(1, 4)))]
    assert [run.gpus for run in steps] == sorted(run.gpus for run in steps)
    assert {run.gpus for run in steps} == {1, 4}
    ones = [run.name for run in steps if run.gpus == 1]
    assert ones[:3] == ["h200x1", "h200x1-768x448", "h200x1-fp8"]
    assert {"h200x1-eager", "h200x1-768x448-eager", "h200x4-eager"} == {run.name for run in steps if not run.compiled}
    with pytest.raises(ConfigError, match="no rung has 3 or 5 GPUs"):
        run_ladder(LadderOrder(file=Path("x.json"), gpus=(3, 5)), Screen(quiet=True))


def test_settings_reach_every_rung() -> None:
    order = LadderOrder(file=Path("x.json"), rungs=("h200x1",), settings=("checkpoint.source=here",), eager=False)
    (rung,) = module._rungs(order)
    assert rung.planned.config.checkpoint.source == "here"
    arguments = module._arguments(rung, order, Path("r.json"))
    assert arguments[:5] == ["bench", "--config", "h200x1", "--set", "checkpoint.source=here"]


# What the tables say.


def _of(result: BenchResult, config: Config, name: str, total_s: float, **more: object) -> Run:
    stages = {name: StageTime(share * total_s, share * total_s) for name, share in SHARES.items()}
    rates = {name: Ceiling(rate, "TFLOP/s", "") for name, rate in ((SERVED_PRODUCTS, 800.0), (ATTENTION, 600.0))}
    work = {"denoise": Work(linear=4 * 10**14), "decode": Work(conv=10**14)}
    known = {"work": work, "ceilings": rates, "stages": stages, "fps": 28 / total_s, "chunks": 40, "load_s": 21.0}
    known["config"] = to_tree(config)
    return Run(name=name, config=config, result=dataclasses.replace(result, **{**known, **more}))  # type: ignore[arg-type]


SHARES = {"audio": 0.01, "denoise": 0.8, "decode": 0.15, "total": 1.0}


@pytest.fixture
def gpu_runs(result: BenchResult, tiny_config: Config) -> list[Run]:
    """As if one and four GPUs had run: eager and compiled, exact and in 8 bits; two GPUs failed."""
    on_gpu = dataclasses.replace(result, engine={**result.engine, "device": "cuda", "attention": "cudnn"})
    exact = replace(tiny_config, {"runtime.device": "cuda", "runtime.dtype": "bfloat16"})
    compiled = replace(exact, {"runtime.compile": True})
    four = replace(compiled, {"parallel.ranks": 4})
    fp8 = replace(four, {"runtime.linears": "fp8"})
    return [
        _of(on_gpu, fp8, "four-fp8", 0.5),
        _of(on_gpu, four, "four", 0.8),
        _of(on_gpu, compiled, "one", 2.0),
        _of(on_gpu, exact, "one-eager", 2.5, chunks=20),
        Run(name="two", config=replace(compiled, {"parallel.ranks": 2}), trouble="it was ended after 900 s"),
    ]


def _shown(runs: list[Run], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Kind -> all lines of it."""
    Screen().result(tables(runs))
    found: dict[str, str] = {}
    shown, kind = capsys.readouterr().out, ""
    for line in shown.splitlines(keepends=True):
        kind = line.strip() if line.startswith(("exact", "FP8", "approximate")) else kind
        found[kind] = found.get(kind, "") + line
    return found


def _row(shown: str, name: str) -> list[str]:
    (line,) = [line for line in shown.splitlines() if line.startswith(f"{name}  ")]
    return line.removeprefix(name).split()


def test_columns_are_numbers_of_gpus(gpu_runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    shown = _shown(gpu_runs, capsys)
    exact, fp8 = shown["exact"], shown["FP8: 8-bit products in the transformer's blocks"]
    assert len(shown) == 2, "what gives up different things is apart"
    assert _row(exact, "milliseconds, median") == ["eager", "compiled", "compiled", "compiled", "8", "GPUs"]
    assert _row(exact, "chunk") == ["2500", "2000", "-", "800.0", "-"]
    assert _row(exact, "  one step") == ["500.0", "400.0", "-", "160.0", "-"]
    assert _row(exact, "frames a second") == ["11.2", "14.0", "-", "35.0", "-"]
    assert _row(exact, "denoise, TFLOP/s of a GPU") == ["200.0", "250.0", "-", "156.2", "-"]
    assert _row(exact, "  of what its kernels reach alone") == ["25%", "31%", "-", "20%", "-"]
    assert _row(exact, "decode, TFLOP/s of a GPU") == ["266.7", "333.3", "-", "208.3", "-"]
    assert _row(exact, "chunks measured") == ["20*", "40", "-", "40", "-"]
    assert "2 GPUs, compiled: two, not measured; it was ended after 900 s" in exact
    assert "8 GPUs: no run of this kind" in exact
    assert "* a quick look: fewer than 40 chunks" in exact
    assert "a quick look" not in fp8
    assert "UNTRAINED: random weights, good for times only" in exact
    assert _row(fp8, "chunk") == ["-", "-", "500.0", "-"]


def test_more_gpus_are_compared_with_one_in_the_same_mode(
    gpu_runs: list[Run], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _shown(gpu_runs, capsys)["exact"].splitlines()
    bars = {line.partition("  ")[0]: line for line in lines if "DD" in line}
    assert "2.50 times as fast, 62% of 4" in bars["4 GPUs, compiled"]
    assert [word for word in ("1 GPU, eager", "1 GPU, compiled") if "times as fast" in bars[word]] == []
    letters = {name: {letter: line.count(letter) for letter in "DV."} for name, line in bars.items()}
    assert letters["1 GPU, eager"]["D"] == pytest.approx(0.8 * 64, abs=1)
    assert letters["4 GPUs, compiled"]["V"] == pytest.approx(0.15 * 64 * 0.8 / 2.5, abs=1)


def test_a_node_is_computed_not_run(gpu_runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    exact = _shown(gpu_runs, capsys)["exact"]
    assert _row(exact, "8 x 1")[:3] == ["14.0", "112.0", "0"]
    assert _row(exact, "2 x 4")[:3] == ["35.0", "70.0", "2"]
    assert "computed from four, not run side by side" in exact
    assert _row(exact, "4 x 2") == ["-", "-", "-", "not", "measured"]


def test_a_later_success_takes_the_place_of_a_failure(
    gpu_runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One GPU today, four tomorrow: files are shown as one ladder, and may be written as one."""
    write_runs(tmp_path / "a.json", [gpu_runs[2], dataclasses.replace(gpu_runs[1], result=None, trouble="none")])
    write_runs(tmp_path / "b.json", gpu_runs[:2])
    runs = show_files([tmp_path / "a.json", tmp_path / "b.json"], Screen(), json_file=tmp_path / "all.json")
    assert [run.name for run in runs] == ["one", "four-fp8", "four"]
    assert read_runs(tmp_path / "all.json") == runs
    assert "2.50 times as fast" in capsys.readouterr().out


def test_two_runs_under_one_heading_are_told_apart(gpu_runs: list[Run], capsys: pytest.CaptureFixture[str]) -> None:
    again = dataclasses.replace(gpu_runs[2], name="one-again")
    exact = _shown([gpu_runs[2], again], capsys)["exact"]
    assert _row(exact, "milliseconds, median")[:2] == ["one", "one-again"]


def test_work_that_an_earlier_version_did_not_count_is_counted(
    result: BenchResult, tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.json").write_text(json.dumps(result.to_tree()))
    show_files([tmp_path / "old.json"], Screen())
    shown = capsys.readouterr().out
    assert float(_row(shown, "denoise, TFLOP/s of a rank")[0]) > 0
    assert "no ceilings were measured" in shown
    assert "alone: " not in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--from", "x.json", "--ladder"], "--ladder says nothing beside --from"),
        (["--from", "x.json", "--chunks", "3"], "--chunks says nothing beside --from"),
        (["--ladder", "--config", "h200x1"], "--config says nothing beside --ladder"),
        (["--minutes", "inf"], "--minutes inf: write a number that ends"),
        (["--load", "inf"], "--load inf: write a number that ends"),
        (["--chunks", "5", "--minutes", "3"], "--chunks says nothing beside --minutes"),
        (["--ladder", "--minutes", "3"], "--minutes says nothing beside --ladder"),
        (["--rungs", "h200x1"], "--rungs needs --ladder"),
        (["--gpus", "1,2"], "several numbers need --ladder"),
        (["--gpus", "0"], "--gpus 0: write a number"),
        (["--gpus", "many"], "--gpus many: write a number"),
    ],
)
def test_options_that_say_nothing_are_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flashtalk("bench", *arguments) == ConfigError.exit_status
    assert why in capsys.readouterr().err
