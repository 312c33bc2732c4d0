"""How many iterations a run makes when it has a time instead of a number. Called by every trainer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import torch

from train.config import RunConfig
from train.optim import Optimiser
from train.ranks import Ranks

PROBE = 60
"""Iterations before pace is measured: the first ones compile."""
LOOK_EVERY = 10
"""Iterations between two looks at the clock: each is an exchange of all ranks."""


class Pace:
    """`run.iterations`, or with `run.limit_s` as many as end so long after this was made.

    The schedules of learning rates are stretched or cut to end with the run. All ranks have the same `total`. `now_s`
    never goes back.
    """

    def __init__(self, run: RunConfig, ranks: Ranks, now_s: Callable[[], float] = time.monotonic) -> None:
        self.total = self._planned = run.iterations
        self._ranks, self._now_s = ranks, now_s
        self._ends_s = None if run.limit_s is None else now_s() + run.limit_s
        self._first: int | None = None
        self._since: tuple[int, float] = 0, 0.0

    def iterations(self, first: int = 0) -> Iterator[int]:
        """Numbers from `first` until the total is reached, which may move meanwhile."""
        for iteration in count(first):
            if iteration >= self.total:
                return
            yield iteration

    def look(self, done: int, optimisers: Iterable[Optimiser]) -> None:
        """At the clock, after `done` iterations. All ranks call it after each."""
        if self._ends_s is None or done % LOOK_EVERY:
            return
        now_s = self._now_s()
        self.total = self._estimate(done, now_s, self._ends_s - now_s)
        for optimiser in optimisers:
            optimiser.stretch(self.total / self._planned)

    def _estimate(self, done: int, now_s: float, left_s: float) -> int:
        """The total, from the pace since PROBE iterations of this process; until then the planned one."""
        self._first = done if self._first is None else self._first
        probing = done < self._first + PROBE
        if probing:
            self._since = done, now_s
        pace_s = (now_s - self._since[1]) / max(1, done - self._since[0])
        left_s, pace_s = self._ranks.all_means(torch.tensor([left_s, pace_s]))
        if left_s <= 0:
            return done
        return max(self._planned, done + LOOK_EVERY) if probing else done + round(left_s / pace_s)
