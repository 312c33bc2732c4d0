"""Benchmarks in files: the runs of a ladder, written as each ends, and single ones, also of earlier versions.

Called by `flashtalk bench --ladder` and `--from`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from flashtalk import __version__
from flashtalk.config import Config
from flashtalk.config_file import from_tree, load_config, to_tree
from flashtalk.engine.bench import BenchResult, StageTime
from flashtalk.engine.ceilings import Ceiling
from flashtalk.engine.ladder import FULL, Grade, grade
from flashtalk.engine.memory import Growth
from flashtalk.engine.work import Work
from flashtalk.errors import ConfigError, InputError

FORMAT = 1
"""Of a ladder's file."""

REMOVED = ("model.image_encoder.out_dim",)
"""Settings that earlier versions wrote and that changed nothing which is measured."""

ENOUGH_CHUNKS, ENOUGH_LOAD_S = 40, 20.0
"""A run with fewer chunks, or after less computing, is a quick look."""

NODE_GPUS = 8

PARTS: dict[str, type] = {"stages": StageTime, "work": Work, "ceilings": Ceiling}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A config that was measured, or that was not: then `trouble` says why."""

    name: str
    config: Config
    result: BenchResult | None = None
    trouble: str = ""
    """With a result: what went wrong after the stream was measured."""
    log: str = ""
    """The name of the file that holds what the run said."""
    took_s: float = 0.0

    @property
    def gpus(self) -> int:
        """Ranks that computed one stream together; on a CPU they are processes."""
        return self.config.parallel.ranks

    @property
    def compiled(self) -> bool:
        """Whether the transformer's blocks were compiled."""
        return self.config.runtime.compile

    @property
    def grade(self) -> Grade:
        """What was given up; the size counts for the model of the ladder only."""
        full = _full()
        return grade(self.config, full if self.config.model.name == full.model.name else None)

    @property
    def is_quick_look(self) -> bool:
        """Whether it measured too few chunks, or too soon, to be quoted."""
        result = self.result
        return result is not None and (result.chunks < ENOUGH_CHUNKS or result.load_s < ENOUGH_LOAD_S)


@dataclass(frozen=True)
class Layout:
    """A node of NODE_GPUS cut into equal groups: computed from what one group did, never run side by side."""

    groups: int
    gpus: int
    run: Run | None
    """The fastest of this size; None: there is none."""

    @property
    def streams(self) -> int | None:
        """Streams in real time: each group takes as many as its frames a second are enough for."""
        if self.run is None or self.run.result is None:
            return None
        return self.groups * int(self.run.result.fps // self.run.config.stream.fps)


@cache
def _full() -> Config:
    return load_config(FULL)


def layouts(runs: Iterable[Run]) -> list[Layout]:
    """8x1, 4x2, 2x4 and 1x8 of runs that differ in GPUs only."""
    best: dict[int, tuple[float, Run]] = {}
    for run in runs:
        if run.result and run.result.fps > best.get(run.gpus, (0.0,))[0]:
            best[run.gpus] = run.result.fps, run
    sizes = [gpus for gpus in range(1, NODE_GPUS + 1) if NODE_GPUS % gpus == 0]
    return [Layout(NODE_GPUS // gpus, gpus, best[gpus][1] if gpus in best else None) for gpus in sizes]


def write_runs(file: Path, runs: Iterable[Run]) -> None:
    """All of them in one file, which is never half written. Raises InputError."""
    tree = {"ladder": FORMAT, "flashtalk": __version__, "rungs": [_entry(run) for run in runs]}
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise InputError(f"{file.name} cannot be written ({error.strerror})", code="output_forbidden") from None


def read_runs(file: Path) -> list[Run]:
    """What `flashtalk bench --json` or `--ladder` wrote. Raises InputError (bench_file) that says what is wrong."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        return list(_runs(tree, file.stem))
    except OSError as error:
        raise InputError(f"{file.name} cannot be read ({error.strerror})", code="bench_file") from None
    except ConfigError as error:
        raise InputError(
            f"{file.name} has settings that this version does not know: {error}", code="bench_file"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{file.name} is not what `flashtalk bench --json` or `--ladder` writes: {why}", code="bench_file"
        ) from None


def result_from(tree: Mapping[str, Any]) -> BenchResult:
    """The inverse of BenchResult.to_tree; what other versions added is left out, what they did not know is empty."""
    known = {f.name: f for f in fields(BenchResult)}
    values = {name: value for name, value in tree.items() if name in known}
    odd = [n for n, v in values.items() if known[n].type in ("float", "int") and not isinstance(v, (int, float))]
    if odd:
        raise ValueError(f"{odd[0]} is no number")
    for name, kind in PARTS.items():
        values[name] = {key: kind(**part) for key, part in values.get(name, {}).items()}
    if not {"denoise", "total"} <= values["stages"].keys():
        raise ValueError("there are no stages")
    values["growth"] = values.get("growth") and Growth(**values["growth"])
    return BenchResult(**values)


def _runs(tree: Mapping[str, Any], stem: str) -> Iterator[Run]:
    if "ladder" not in tree:
        yield Run(name=stem, config=_config(tree["config"]), result=result_from(tree))
        return
    if tree["ladder"] != FORMAT:
        raise ValueError(f"a ladder of format {tree['ladder']}, this version reads {FORMAT}")
    for entry in tree["rungs"]:
        result = entry["result"] and result_from({**entry["result"], "config": entry["config"]})
        words = {name: entry[name] for name in ("name", "trouble", "log", "took_s")}
        yield Run(config=_config(entry["config"]), result=result, **words)


def _entry(run: Run) -> dict[str, Any]:
    result = asdict(run.result) if run.result else None
    if result:
        del result["config"]
    words = {"name": run.name, "kind": str(run.grade), "trouble": run.trouble, "log": run.log, "took_s": run.took_s}
    return {**words, "config": to_tree(run.config), "result": result}


def _config(tree: Mapping[str, Any]) -> Config:
    return from_tree(Config, _without(tree, ""))


def _without(tree: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A copy without REMOVED."""
    return {
        name: _without(value, f"{path}{name}.") if isinstance(value, Mapping) else value
        for name, value in tree.items()
        if f"{path}{name}" not in REMOVED
    }
