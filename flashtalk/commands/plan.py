"""`flashtalk plan`: shows what a config needs and how fast it should be, as tables. Called by cli.py."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table

from flashtalk.commands.console import Screen
from flashtalk.config import Config
from flashtalk.engine.ladder import grade
from flashtalk.engine.plan import Plan, legal_sizes
from flashtalk.engine.plan import plan as make_plan
from flashtalk.engine.work import Work

GIB = 2**30


def plan(config: Config, screen: Screen, *, device: str | None = None) -> Plan:
    """Predict and show; `device` is a name in configs/devices. Nothing is downloaded. Raises ConfigError."""
    made = make_plan(config, device)
    screen.result(plan_tables(made))
    return made


def plan_tables(made: Plan) -> Group:
    """Speed, memory, work and sizes."""
    return Group(
        "A prediction from counted work and measured rates, not a measurement; `flashtalk bench` measures.",
        "",
        _facts(made),
        "",
        _work(made),
        "",
        _memory(made),
        "",
        _sizes(made),
        "",
        _rates(made),
    )


def _facts(made: Plan) -> Table:
    table = _table()
    for name, words in _fact_words(made):
        table.add_row(name, words)
    return table


def _fact_words(made: Plan) -> Iterator[tuple[str, str]]:
    stream, device_gib = made.config.stream, made.device.memory_gib.value
    dtype = str(made.dtype).removeprefix("torch.")
    keeps_up = "keeps up with" if made.fps >= stream.fps else "is slower than"
    fits = "fits" if made.fits else "DOES NOT FIT"
    yield "model", f"{made.config.model.name}, {made.parameters / 1e9:.2f} billion parameters, {dtype}"
    ranks = made.config.parallel.ranks
    unknown = "" if made.device.exchange_gb_s else ", exchanges not reckoned"
    several = f"{ranks} x {made.device.name}{unknown}" if ranks > 1 else made.device.name
    yield "device", f"{several} ({made.found})"
    yield "quality", str(grade(made.config))
    yield "picture", f"{stream.width}x{stream.height}, {made.size.tokens} tokens a chunk, {stream.steps} steps"
    yield "speed", f"{made.fps:.1f} frames a second, which {keeps_up} the {stream.fps} shown"
    yield (
        "first frame",
        (
            f"{made.first_frame_s:.2f} s after the first word: {made.first_sound_s:.2f} s of sound, "
            f"{made.first_chunk_s:.2f} s of computing"
        ),
    )
    yield "session opens in", f"{made.open_s:.2f} s"
    yield "memory", f"{made.memory.peak / GIB:.1f} of {device_gib:.1f} GiB: it {fits}"


def _work(made: Plan) -> Table:
    kinds = ("TFLOP linear", "8-bit", "attention", "8-bit attention", "convolution")
    table = _table("a chunk", *kinds, "GB moved", "seconds")
    for stage in made.stages:
        table.add_row(stage.name, *_tera(stage.work), f"{stage.work.moved_bytes / 1e9:.1f}", f"{stage.seconds:.3f}")
    table.add_row("all", *[""] * 6, f"{made.chunk_s:.3f}")
    table.add_row("one step", *_tera(made.step), f"{made.step.moved_bytes / 1e9:.1f}", "")
    return table


def _memory(made: Plan) -> Table:
    table = _table("memory", "GiB")
    for name, size in made.memory.weights.items():
        table.add_row(f"weights of {name}", f"{size / GIB:.3f}")
    table.add_row("a session's keys and values", f"{made.memory.session / GIB:.3f}")
    table.add_row("a chunk's keys and values of sound", f"{made.memory.sound / GIB:.3f}")
    for name, size in made.memory.work.items():
        table.add_row(f"at work: {name}", f"{size / GIB:.3f}")
    table.add_row("most at one time", f"{made.memory.peak / GIB:.3f}")
    return table


def _sizes(made: Plan) -> Table:
    model = made.config.model
    multiple_h, multiple_w = model.size_multiple
    table = _table("sizes", f"width x height (multiples of {multiple_w} x {multiple_h}), tokens a chunk in brackets")
    for aspect, sizes in legal_sizes(model, made.config.stream.chunk_frames).items():
        table.add_row(f"near {aspect}", ", ".join(f"{s.width}x{s.height} ({s.tokens})" for s in sizes))
    return table


def _rates(made: Plan) -> Table:
    rates, device = made.device.rates(made.dtype), made.device
    table = _table("reckoned with", "", "measured", "how")
    measured = {
        "linear": rates.linear,
        "8-bit": rates.float8,
        "attention": rates.attention,
        "8-bit attention": rates.attention8,
        "convolution": rates.conv,
    }
    for name, rate in measured.items():
        if rate is None:
            continue
        table.add_row(name, f"{rate.value:.4g} TFLOP/s", rate.date, rate.source)
    table.add_row("moving", f"{device.copy_tb_s.value:.3g} TB/s", device.copy_tb_s.date, device.copy_tb_s.source)
    if sent := device.exchange_gb_s:
        table.add_row("exchanging", f"{sent.value:.3g} GB/s", sent.date, sent.source)
    return table


def _tera(work: Work) -> tuple[str, ...]:
    kinds = (work.linear, work.float8, work.attention, work.attention8, work.conv)
    return tuple(f"{flops / 1e12:.4g}" for flops in kinds)


def _table(*headings: str) -> Table:
    table = Table(*headings, show_header=bool(headings), box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.overflow = "fold"
    return table
