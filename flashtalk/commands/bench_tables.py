"""Benchmarks side by side, as table 4 and figure 6 of the paper: stage times by number of GPUs, eager and compiled.

Called by bench_ladder.py. Runs that give up different things, or differ in model or size, are in different tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from rich.console import Group, RenderableType
from rich.table import Table

from flashtalk.engine.achieved import Achieved, achieved
from flashtalk.engine.bench import BenchResult
from flashtalk.engine.bench_runs import ENOUGH_CHUNKS, ENOUGH_LOAD_S, NODE_GPUS, Layout, Run, layouts
from flashtalk.engine.ceilings import NAMES

COUNTS = (1, 2, 4, 8)
"""The numbers of GPUs that a table has columns for, measured or not."""

NOTHING = "-"
QUICK = "*"
BAR = 64
"""Characters of the longest chunk's bar."""

LETTERS = {"audio": "a", "denoise": "D", "decode": "V", "colour": "c", "encode": "e", "host": "h", "rest": "."}
TOTAL = "total"
GPU, RANK = "GPU", "rank"


@dataclass(frozen=True)
class Column:
    """One run of a table, or a number of GPUs that nobody measured."""

    gpus: int
    unit: str
    """GPU, or on a CPU RANK."""
    run: Run | None = None

    @property
    def result(self) -> BenchResult | None:
        """Of the run, if it has one."""
        return self.run.result if self.run else None

    @property
    def words(self) -> str:
        """What heads it."""
        mode = f", {'compiled' if self.run.compiled else 'eager'}" if self.run else ""
        return f"{self.gpus} {self.unit}{'s' * (self.gpus > 1)}{mode}"


Row = tuple[str, Callable[[Run, BenchResult], str]]


def tables(runs: Sequence[Run], counts: Sequence[int] = COUNTS) -> Group:
    """All of it: exact first, then FP8, then what is approximate."""
    kinds = ("exact", "FP8", "approximate")
    sections: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: kinds.index(run.grade.kind)):
        sections.setdefault(_title(run), []).append(run)
    return Group(*(part for title, members in sections.items() for part in _section(title, members, counts)))


def _title(run: Run) -> str:
    """What the columns of a table have in common."""
    stream, runtime = run.config.stream, run.config.runtime
    weights = "trained" if run.config.checkpoint.source else "UNTRAINED: random weights, good for times only"
    frames = f"{stream.chunk_frames}/{stream.motion_frames} frames a chunk, {stream.steps} steps"
    where = f"{runtime.dtype} on {runtime.device.partition(':')[0]}"
    return f"{run.grade}\n{run.config.model.name}, {stream.width}x{stream.height}, {frames}, {where}, {weights}"


def _section(title: str, runs: Sequence[Run], counts: Sequence[int]) -> Iterator[RenderableType]:
    columns = _columns(runs, counts)
    yield from (title, "")
    if any(column.result for column in columns):
        yield from (_stage_table(columns), "", *_figure(columns), "")
        if columns[0].unit == GPU:
            yield from (_node_table(layouts(runs)), "")
    yield from (*_notes(columns), "")


def _columns(runs: Sequence[Run], counts: Sequence[int]) -> list[Column]:
    unit = RANK if any(map(_on_cpu, runs)) else GPU
    known = {run.gpus for run in runs}
    missing = [Column(gpus, unit) for gpus in counts if gpus not in known and unit == GPU]
    found = [Column(run.gpus, unit, run) for run in sorted(runs, key=lambda run: run.compiled)]
    return sorted(found + missing, key=lambda column: column.gpus)


def _on_cpu(run: Run) -> bool:
    """`auto` is known once it ran."""
    return (run.result.engine["device"] if run.result else run.config.runtime.device) == "cpu"


def _headings(columns: Sequence[Column]) -> list[str]:
    """Over one another: GPUs, mode and, where these are not enough to tell two runs apart, the name."""
    words = [column.words for column in columns]
    names = [f"\n{c.run.name}" if c.run and words.count(c.words) > 1 else "" for c in columns]
    return [word.replace(", ", "\n") + name for word, name in zip(words, names, strict=True)]


# Table 4.


def _stage_table(columns: Sequence[Column]) -> Table:
    table = _table("milliseconds, median", *_headings(columns))
    for name, cell in _rows(columns):
        cells = [_cell(column, cell) for column in columns]
        if set(cells) != {NOTHING}:
            table.add_row(name, *cells)
    return table


def _cell(column: Column, cell: Callable[[Run, BenchResult], str]) -> str:
    return cell(column.run, column.result) if column.run and column.result else NOTHING


def _rows(columns: Sequence[Column]) -> Iterator[Row]:
    stages = dict.fromkeys(name for column in columns if column.result for name in column.result.stages)
    for name in stages:
        yield (name if name != TOTAL else "chunk", _stage_ms(name))
        if name == "denoise":
            yield "  one step", lambda run, result: _ms(result.stages["denoise"].p50_s / run.config.stream.steps)
    yield "chunk, 95 % under", lambda _run, result: _ms(result.stages[TOTAL].p95_s)
    unit = columns[0].unit
    yield "frames a second", lambda _run, result: f"{result.fps:.1f}"
    yield f"denoise, TFLOP/s of a {unit}", lambda run, result: _tflops(_denoise(run, result))
    yield "  of what its kernels reach alone", lambda run, result: _share(_denoise(run, result))
    yield f"decode, TFLOP/s of a {unit}", lambda run, result: _tflops(_decode(run, result))
    yield from ((f"alone: {name}", _ceiling(name)) for name in NAMES)
    yield "most memory, GB", lambda _run, result: f"{(result.peak_device_bytes or result.peak_rss_bytes) / 1e9:.1f}"
    yield "session starts in, ms", lambda _run, result: _ms(result.session_open_s)
    yield "first frame after its sound, ms", lambda _run, result: _ms(result.first_frame_s)
    yield "engine is built in, s", lambda _run, result: f"{result.engine_build_s:.1f}"
    yield "the whole run took, s", lambda run, _result: f"{run.took_s:.0f}" if run.took_s else NOTHING
    yield "chunks measured", lambda run, result: f"{result.chunks}{QUICK * run.is_quick_look}"
    yield "seconds of load before", lambda _run, result: f"{result.load_s:.0f}" if result.load_s else "unknown"


def _stage_ms(name: str) -> Callable[[Run, BenchResult], str]:
    return lambda _run, result: _ms(result.stages[name].p50_s) if name in result.stages else NOTHING


def _ceiling(name: str) -> Callable[[Run, BenchResult], str]:
    def cell(_run: Run, result: BenchResult) -> str:
        found = result.ceilings.get(name)
        return f"{_short(found.value)} {found.unit}" if found and found.value else NOTHING

    return cell


def _denoise(run: Run, result: BenchResult) -> Achieved | None:
    return _achieved(result, "denoise", run.gpus)


def _decode(run: Run, result: BenchResult) -> Achieved | None:
    return _achieved(result, "decode", run.gpus if run.config.parallel.split_codec else 1)


def _achieved(result: BenchResult, stage: str, ranks: int) -> Achieved | None:
    work = result.work.get(stage)
    return achieved(work, result.stages[stage].p50_s, ranks, result.ceilings) if work else None


# Figure 6.


def _figure(columns: Sequence[Column]) -> Iterator[RenderableType]:
    """Bars of a chunk's stages, and how well more GPUs help: T1 / (P TP)."""
    found = [(column, column.run, column.result) for column in columns]
    longest_s = max(result.stages[TOTAL].p50_s for _, _, result in found if result)
    yield "a chunk: " + ", ".join(f"{letter} {name}" for name, letter in LETTERS.items())
    table = _table()
    for column, run, result in found:
        if run and result:
            bar = _bar(result, BAR / longest_s)
            table.add_row(
                column.words, f"{bar:{BAR}}", f"{_ms(result.stages[TOTAL].p50_s)} ms", _speed_up(column, columns)
            )
    yield table


def _bar(result: BenchResult, a_second: float) -> str:
    """Letters in proportion; each border is rounded, so that the sum is right."""
    times = {name: time.p50_s for name, time in result.stages.items() if name != TOTAL}
    times["rest"] = max(0.0, result.stages[TOTAL].p50_s - sum(times.values()))
    bar, end_s = "", 0.0
    for name, seconds in times.items():
        end_s += seconds
        bar += LETTERS.get(name, "?") * (round(end_s * a_second) - len(bar))
    return bar


def _speed_up(column: Column, columns: Sequence[Column]) -> str:
    """Against one GPU in the same mode."""
    mode = column.run and column.run.compiled
    alone = next((c.result for c in columns if c.gpus == 1 and c.result and c.run and c.run.compiled == mode), None)
    if column.gpus == 1 or alone is None or column.result is None:
        return ""
    gain = alone.stages[TOTAL].p50_s / column.result.stages[TOTAL].p50_s
    return f"{gain:.2f} times as fast, {gain / column.gpus:.0%} of {column.gpus}"


# What a node carries, and what the tables do not say.


def _node_table(found: Iterable[Layout]) -> Table:
    table = _table(f"a node of {NODE_GPUS} GPUs", "frames a second each", "in all", "streams in real time", "from")
    for layout in found:
        words, run = f"{layout.groups} x {layout.gpus}", layout.run
        if run is None or run.result is None:
            table.add_row(words, NOTHING, NOTHING, NOTHING, "not measured")
            continue
        fps, source = run.result.fps, f"computed from {run.name}, not run side by side"
        table.add_row(words, f"{fps:.1f}", f"{layout.groups * fps:.1f}", str(layout.streams), source)
    return table


def _notes(columns: Sequence[Column]) -> Iterator[str]:
    for column in columns:
        if column.run is None:
            yield f"{column.words}: no run of this kind"
        else:
            yield f"{column.words}: {column.run.name}, {'; '.join(_run_words(column.run))}"
    if any(column.run and column.run.is_quick_look for column in columns):
        yield f"{QUICK} a quick look: fewer than {ENOUGH_CHUNKS} chunks, or not after {ENOUGH_LOAD_S:.0f} s of load"


def _run_words(run: Run) -> Iterator[str]:
    if run.result:
        versions, machine = run.result.versions, run.result.machine
        yield f"{machine.get('gpu', machine['cpu'])}, torch {versions['torch']}, {run.result.engine['attention']}"
        yield f"fast path: {', '.join(_switches(run)) or 'off'}"
        if run.result.sound_ahead:
            yield "the sound of the next chunk was there, as of a file"
        if not run.result.ceilings:
            yield "no ceilings were measured"
    else:
        yield "not measured"
    if run.trouble:
        yield run.trouble
    if run.log:
        yield f"log {run.log}"


def _switches(run: Run) -> Iterator[str]:
    """What is on in `runtime`; compiling heads the column."""
    runtime = run.config.runtime
    yield from (f.name for f in fields(runtime) if getattr(runtime, f.name) is True and f.name != "compile")


def _table(*headings: str) -> Table:
    table = Table(*headings, show_header=bool(headings), box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.no_wrap = True
    return table


def _ms(seconds: float) -> str:
    return _short(seconds * 1e3)


def _short(value: float) -> str:
    """Digits that somebody looks at."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _tflops(found: Achieved | None) -> str:
    return NOTHING if found is None else _short(found.tflops)


def _share(found: Achieved | None) -> str:
    return NOTHING if found is None or found.share is None else f"{found.share:.0%}"
