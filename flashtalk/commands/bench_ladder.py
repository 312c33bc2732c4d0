"""`flashtalk bench --ladder`: runs the rungs in turn, each as processes of its own, and shows them together.

Called by cli.py; `--from` shows what earlier runs left. After each rung the file holds all that there is.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from flashtalk.commands.bench_tables import COUNTS, tables
from flashtalk.commands.console import Screen
from flashtalk.commands.settings import read_config
from flashtalk.engine.achieved import count_work
from flashtalk.engine.bench import BenchResult
from flashtalk.engine.bench_runs import Run, read_runs, write_runs
from flashtalk.engine.ladder import rungs
from flashtalk.errors import ConfigError, InputError

EAGER = "runtime.compile=false"

CHILD = """\
import sys
from flashtalk.serving.worker_process import die_with
die_with(int(sys.argv.pop(1)))
from flashtalk.cli import main
main()
"""
"""`flashtalk ARGUMENTS` that ends with the process that started it, however that ends."""

LEAVE_S = 10.0
"""The longest wait for killed processes to be gone."""

LAST_WORDS = 3
"""Lines of a log that may say why its run failed."""


@dataclass(frozen=True, kw_only=True)
class LadderOrder:
    """What to run. rungs: names in configs/serve or files, empty for the ladder; gpus: empty for all counts.

    eager: also without compiling, where nothing else is given up; limit_s: of one rung, then it is ended.
    """

    file: Path
    rungs: tuple[str, ...] = ()
    gpus: tuple[int, ...] = ()
    settings: tuple[str, ...] = ()
    chunks: int = 40
    load_s: float = 20.0
    sound_ahead: bool = False
    eager: bool = True
    limit_s: float = 900.0


@dataclass(frozen=True)
class _Rung:
    config: str
    settings: tuple[str, ...]
    planned: Run
    """Its name and settings."""


def run_ladder(order: LadderOrder, screen: Screen) -> list[Run]:
    """Measure, write and show. A rung that cannot run, or fails, is a column that says why. Raises FlashTalkError."""
    if not order.file.parent.is_dir():
        raise InputError(f"there is no folder for {order.file.name}; make it first", code="output_forbidden")
    if order.file.exists():
        raise InputError(f"{order.file.name} is there; measured figures are not replaced", code="output_forbidden")
    steps = list(_rungs(order))
    if not steps:
        raise ConfigError(f"no rung has {_either(order.gpus)} GPUs; see the files in configs/serve")
    done: list[Run] = []
    for step in steps:
        screen.note(f"{step.planned.name}: {step.planned.grade}")
        done.append(_run(step, order))
        write_runs(order.file, done)
        screen.note(f"{step.planned.name}: {_said(done[-1])}")
    show_runs(done, screen, order.gpus)
    return done


def show_files(files: Sequence[Path], screen: Screen, *, json_file: Path | None = None) -> list[Run]:
    """Show what earlier runs wrote, and write it as one ladder if `json_file` is given. Raises InputError."""
    read = [run for file in files for run in read_runs(file)]
    measured = {run.name for run in read if run.result}
    runs = [run for run in read if run.result or run.name not in measured]
    if json_file and json_file.exists():
        raise InputError(f"{json_file.name} is there; measured figures are not replaced", code="output_forbidden")
    if json_file:
        write_runs(json_file, runs)
    show_runs(runs, screen)
    return runs


def show_runs(runs: Sequence[Run], screen: Screen, counts: Sequence[int] = ()) -> None:
    """Tables; earlier versions did not count the work of a chunk, so it is counted now."""
    screen.result(tables([_counted(run) for run in runs], counts or COUNTS))


def _counted(run: Run) -> Run:
    if run.result is None or run.result.work:
        return run
    return dataclasses.replace(run, result=dataclasses.replace(run.result, work=count_work(run.config)))


# Which rungs.


def _rungs(order: LadderOrder) -> Iterator[_Rung]:
    """By GPUs, the most important first: a killed run keeps what it has."""
    found = [rung for name in order.rungs or rungs() for rung in _variants(name, order)]
    wanted = [rung for rung in found if not order.gpus or rung.planned.gpus in order.gpus]
    yield from sorted(wanted, key=lambda rung: (rung.planned.gpus, _rank(rung.planned)))


def _variants(name: str, order: LadderOrder) -> Iterator[_Rung]:
    config = read_config(name, order.settings)
    planned = Run(name=Path(name).stem, config=config)
    yield _Rung(name, order.settings, planned)
    if order.eager and planned.compiled and planned.grade.kind == "exact":
        settings = (*order.settings, EAGER)
        yield _Rung(name, settings, Run(name=f"{planned.name}-eager", config=read_config(name, settings)))


def _rank(run: Run) -> int:
    return ("exact", "FP8", "approximate").index(run.grade.kind) if run.compiled else 2


# One of them.


def _run(rung: _Rung, order: LadderOrder) -> Run:
    reason = _why_not(rung.planned)
    if reason:
        return dataclasses.replace(rung.planned, trouble=reason)
    log, started = order.file.with_name(f"{order.file.stem}-{rung.planned.name}.txt"), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{rung.planned.name}.json"
        trouble = _trouble(_arguments(rung, order, file), log, order.limit_s)
        found, unread = _found(file)
    took_s = round(time.monotonic() - started, 1)
    return dataclasses.replace(rung.planned, result=found, trouble=trouble or unread, log=log.name, took_s=took_s)


def _found(file: Path) -> tuple[BenchResult | None, str]:
    """What it wrote, also if it failed later; or why that is nothing."""
    try:
        return read_runs(file)[0].result, ""
    except InputError as error:
        return None, str(error)


def _why_not(run: Run) -> str:
    """Why this machine cannot run it."""
    device, here = run.config.runtime.device, torch.cuda.device_count()
    if device.startswith("cuda") and here < run.gpus:
        return f"it takes {run.gpus} GPU{'s' * (run.gpus > 1)}, and this machine has {here}"
    return ""


def _arguments(rung: _Rung, order: LadderOrder, file: Path) -> list[str]:
    settings = [word for setting in rung.settings for word in ("--set", setting)]
    numbers = ["--chunks", str(order.chunks), "--load", str(order.load_s), "--json", str(file)]
    return ["bench", "--config", rung.config, *settings, *numbers, *(["--ahead"] if order.sound_ahead else [])]


def _trouble(arguments: Sequence[str], log: Path, limit_s: float) -> str:
    """Run `flashtalk ARGUMENTS` to its end, all it says to `log`; why it failed, or nothing."""
    with log.open("w", encoding="utf-8") as said:
        said.write(f"flashtalk {shlex.join(arguments)}\n")
        said.flush()
        command = [sys.executable, "-c", CHILD, str(os.getpid()), *arguments]
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it was ended after {limit_s:g} s"
        finally:
            _end(child)
    return f"it ended with status {status}: {_last_words(log)}" if status else ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """It and all its ranks; what they held is free again when the next rung starts."""
    latest = time.monotonic() + LEAVE_S
    with suppress(ProcessLookupError):
        while time.monotonic() < latest:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            time.sleep(0.05)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines[1:] if line.startswith("error: ")]
    return (errors[:1] or [" / ".join(lines[1:][-LAST_WORDS:])])[0].removeprefix("error: ") or "it said nothing"


def _said(run: Run) -> str:
    result = run.result
    speed = f"{result.fps:.1f} frames a second, " if result else ""
    return f"{speed}{run.trouble + ', ' if run.trouble else ''}{run.took_s:.0f} s"


def _either(gpus: Sequence[int]) -> str:
    return " or ".join(map(str, gpus)) or "any number of"
