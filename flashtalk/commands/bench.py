"""`flashtalk bench`: runs the benchmark and shows it as tables, or writes it as JSON. Called by cli.py."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from flashtalk.commands.console import Screen
from flashtalk.config import Config
from flashtalk.engine.achieved import achieved, count_work
from flashtalk.engine.bench import BenchResult, run_bench
from flashtalk.engine.ceilings import measure_ceilings
from flashtalk.engine.ranks import join_ranks
from flashtalk.errors import InputError
from flashtalk.parallel.groups import Place


def bench(
    config: Config,
    screen: Screen,
    *,
    chunks: int = 10,
    warmup: int = 2,
    minutes: float | None = None,
    load_s: float = 0.0,
    sound_ahead: bool = False,
    json_file: Path | None = None,
    place: Place | None = None,
) -> BenchResult:
    """Measure `config` on this machine and show the result; `json_file` gets it too. Raises FlashTalkError.

    The stream's figures are written before the device's ceilings are measured: nothing that fails there costs them.
    `place`: this process is one of several that compute together and all measure; the first one tells.
    """
    if place and place.rank:
        screen, json_file = Screen(quiet=True), None
    if json_file and not json_file.parent.is_dir():
        raise InputError(f"there is no folder for {json_file.name}; make it first", code="output_forbidden")
    stream = config.stream
    screen.note(f"measuring {config.model.name} at {stream.width}x{stream.height}, {stream.steps} steps")
    with screen.progress(None) as show:

        def progress(done: int, total: int, seconds: float) -> None:
            show(f"chunk {done}/{total} in {seconds:.3f} s", done, done == total)

        with join_ranks(config, place) if place else nullcontext() as ranks:
            result = run_bench(
                config,
                chunks=chunks,
                warmup=warmup,
                minutes=minutes,
                load_s=load_s,
                sound_ahead=sound_ahead,
                ranks=ranks,
                progress=progress,
            )
            _write(json_file, result)
            result = dataclasses.replace(result, ceilings=measure_ceilings(config, ranks))
    if not (place and place.rank):
        result = dataclasses.replace(result, work=count_work(config))
    _write(json_file, result)
    screen.result(bench_tables(result))
    return result


def bench_tables(result: BenchResult) -> Group:
    """Times by stage, and what else was measured."""
    stages = Table("stage", "median ms", "95 % under ms", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, time in result.stages.items():
        stages.add_row(name, f"{time.p50_s * 1e3:.1f}", f"{time.p95_s * 1e3:.1f}")
    facts = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, words in _facts(result):
        facts.add_row(name, words)
    return Group(stages, "", facts, *_alone(result))


def _alone(result: BenchResult) -> Iterator[RenderableType]:
    """Ceilings, and of what."""
    if not result.ceilings:
        return
    table = Table("alone on this device", "", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, ceiling in result.ceilings.items():
        table.add_row(name, f"{ceiling.value:.4g} {ceiling.unit}" if ceiling.value else "-", ceiling.of)
    yield from ("", table)


def _facts(result: BenchResult) -> Iterator[tuple[str, str]]:
    engine, machine = result.engine, result.machine
    keeps_up = "keeps up" if result.real_time_factor <= 1 else "does not keep up"
    yield "speed", f"{result.fps:.1f} frames a second, real-time factor {result.real_time_factor:.2f}: {keeps_up}"
    after = f" after {result.load_s:.0f} s of load" + ", sound a chunk ahead" * result.sound_ahead
    yield "chunks", f"{result.chunks} of {result.chunk_frames} frames{after}, slowest {result.slowest_chunk_s:.3f} s"
    yield "first frame", f"{result.first_frame_s:.3f} s after its sound ({result.first_frame_cold_s:.2f} s cold)"
    yield "session opens in", f"{result.session_open_s:.3f} s ({result.session_open_cold_s:.2f} s cold)"
    yield "engine is built in", f"{result.engine_build_s:.1f} s"
    yield "most memory", _memory_words(result)
    if result.work:
        yield "denoising", _achieved_words(result)
    if result.growth:
        yield "growth", _growth_words(result)
    yield "model", f"{engine['model']}, {engine['dtype']}, attention {engine['attention']}, {_trained_words(result)}"
    together = f"{engine['ranks']} x " if engine["ranks"] > 1 else ""
    yield "machine", f"{together}{machine.get('gpu', machine['cpu'])}, {machine['threads']} threads"
    yield "versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())


def _memory_words(result: BenchResult) -> str:
    words = f"{result.peak_rss_bytes / 1e9:.2f} GB of the process"
    return words if result.peak_device_bytes is None else f"{words}, {result.peak_device_bytes / 1e9:.2f} GB of the GPU"


def _achieved_words(result: BenchResult) -> str:
    """Of the first rank's device; `alone` tells what its kernels reach by themselves."""
    ranks = result.engine["ranks"]
    found = achieved(result.work["denoise"], result.stages["denoise"].p50_s, ranks, result.ceilings)
    share = "" if found.share is None else f", {found.share:.0%} of what its kernels reach alone"
    return f"{found.tflops:.3g} TFLOP/s of {'each' if ranks > 1 else 'the'} device{share}"


def _growth_words(result: BenchResult) -> str:
    growth = result.growth
    assert growth is not None
    words = (
        f"{growth.rss_slope_bytes_h / 1e6:+.1f} MB an hour over {growth.audio_s / 60:.1f} min of sound, between lowest "
        f"and highest {growth.rss_spread_bytes / 1e6:.1f} MB"
    )
    if growth.device_slope_bytes_h is None:
        return words
    return f"{words}; GPU {growth.device_slope_bytes_h / 1e6:+.1f} MB an hour"


def _trained_words(result: BenchResult) -> str:
    return "trained" if result.trained else "untrained: random weights, the times are those of trained ones"


def _write(file: Path | None, result: BenchResult) -> None:
    if file is None:
        return
    try:
        file.write_text(json.dumps(result.to_tree(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{file.name} cannot be written ({error.strerror})", code="output_forbidden") from None
