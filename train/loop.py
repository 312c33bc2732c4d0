"""The loop of every stage: resume, step, log, save. The stage gives the step. Called by train/sft and train/dmd."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from torch import Tensor

from train.config import RunConfig
from train.pace import Pace
from train.progress import Progress
from train.ranks import Ranks
from train.states import RunState, load_state, newest_complete, save_state

Stats = Mapping[str, float | Tensor]
Step = Callable[[int], Stats]
"""step(iteration) -> what to log; moves the weights."""

LOOK_EVERY = 10
"""Iterations between two looks whether a rank was told to end: each is an exchange of all ranks."""


def run_loop(
    run: RunConfig,
    ranks: Ranks,
    state: RunState,
    step: Step,
    progress: Progress,
    pace: Pace,
    validate: Callable[[int], Stats] | None = None,
) -> None:
    """Iterations from the newest complete checkpoint in `run.out` (if `run.resume`) to the last one, or to SIGTERM.

    Then it saves too: the stage exports what it has, and a resumed run goes on from there. `pace` knows the last one.
    """
    folder = Path(run.out) / "states"
    newest = newest_complete(folder) if run.resume else None
    if newest is not None:
        load_state(state, newest, ranks)
    with termination() as told:
        for iteration in pace.iterations(state.counters.get("iteration", 0)):
            stats = step(iteration)
            state.counters["iteration"] = done = iteration + 1
            pace.look(done, state.optimisers.values())
            progress.total = pace.total
            progress.step(iteration, stats)
            if validate is not None and _due(done, run.validate_every, pace.total):
                progress.metrics(iteration, validate(iteration))
            ending = is_told_to_end(told, done, ranks)
            if ending or _due(done, run.save_every, pace.total):
                save_state(state, folder, ranks, done, keep=run.keep)
            if ending:
                return


@contextmanager
def termination() -> Iterator[Callable[[], bool]]:
    """While it is open SIGTERM ends no process: the function it gives says whether one came."""
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGTERM, before)


def is_told_to_end(told: Callable[[], bool], done: int, ranks: Ranks) -> bool:
    """Whether any rank was, the same on all: they must call it after each iteration."""
    return done % LOOK_EVERY == 0 and ranks.any_true(told())


def _due(done: int, every: int, last: int) -> bool:
    return done == last or (every > 0 and done % every == 0)
