"""The loop of every stage: resume, step, log, save. The stage gives the step. Called by train/sft and train/dmd."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from train.config import RunConfig
from train.progress import Progress
from train.ranks import Ranks
from train.states import RunState, load_state, newest_complete, save_state

Stats = Mapping[str, float | Tensor]
Step = Callable[[int], Stats]
"""step(iteration) -> what to log; moves the weights."""


def run_loop(
    run: RunConfig,
    ranks: Ranks,
    state: RunState,
    step: Step,
    progress: Progress,
    validate: Callable[[int], Stats] | None = None,
) -> None:
    """Iterations from the newest complete checkpoint in `run.out` (if `run.resume`) to the last one."""
    folder = Path(run.out) / "states"
    newest = newest_complete(folder) if run.resume else None
    if newest is not None:
        load_state(state, newest, ranks)
    for iteration in range(state.counters.get("iteration", 0), run.iterations):
        progress.step(iteration, step(iteration))
        state.counters["iteration"] = done = iteration + 1
        if validate is not None and _due(done, run.validate_every, run.iterations):
            progress.metrics(iteration, validate(iteration))
        if _due(done, run.save_every, run.iterations):
            save_state(state, folder, ranks, done, keep=run.keep)


def _due(done: int, every: int, last: int) -> bool:
    return done == last or (every > 0 and done % every == 0)
