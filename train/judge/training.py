"""Trains the judge on pictures that are drawn while it learns, and tells how good it is. Called by judge/__main__."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.errors import ConfigError
from train.judge.examples import Examples, worsen
from train.judge.network import OUTPUTS, Judge, JudgeConfig
from train.synthetic.render import Renderer

Tell = Callable[[dict[str, Any]], None]
"""tell(row) takes one line of the log."""

WARMUP = 0.05
UNSEEN = "validation"


@dataclass(frozen=True, kw_only=True)
class JudgePlan:
    """How the judge is trained. Every iteration draws `fresh` pictures and learns from `batch` of the last `pool`."""

    iterations: int = 3000
    batch: int = 256
    fresh: int = 64
    pool: int = 16384
    peak_rate: float = 2e-3
    weight_decay: float = 0.01
    validation: int = 2048
    seed: int = 0
    tell_every: int = 50

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if min(self.iterations, self.batch, self.fresh, self.validation) < 1 or self.pool < self.fresh:
            yield f"iterations, batch, fresh and validation must be 1 or more and pool at least fresh, not {self}"


class Pool:
    """The last pictures that were drawn, on the device: they are looked at more than once."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._squares: Tensor | None = None
        self._targets: Tensor | None = None
        self._drawn = 0

    def add(self, squares_BCHW: Tensor, targets_BJ: Tensor) -> None:
        """Keep these instead of the oldest."""
        if self._squares is None or self._targets is None:
            self._squares = squares_BCHW.new_empty(self._capacity, *squares_BCHW.shape[1:])
            self._targets = targets_BJ.new_empty(self._capacity, *targets_BJ.shape[1:])
        places = torch.arange(self._drawn, self._drawn + len(squares_BCHW), device=squares_BCHW.device) % self._capacity
        self._squares[places], self._targets[places] = squares_BCHW, targets_BJ
        self._drawn += len(squares_BCHW)

    def take(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` of them, chosen anew."""
        assert self._squares is not None
        assert self._targets is not None
        held = min(self._drawn, self._capacity)
        chosen = torch.randint(held, (count,), generator=generator, device=generator.device)
        return self._squares[chosen], self._targets[chosen]


def train_judge(renderer: Renderer, config: JudgeConfig, plan: JudgePlan, device: torch.device, tell: Tell) -> Judge:
    """A judge trained by `plan`. Raises ConfigError."""
    if problems := [*plan.problems(), *config.problems()]:
        raise ConfigError("this judge cannot be trained: " + "; ".join(problems))
    torch.manual_seed(plan.seed)
    judge = Judge(config).to(device)
    examples = Examples(renderer, "train", plan.seed, config.picture_px)
    pool, generator = Pool(plan.pool), torch.Generator(device).manual_seed(plan.seed)
    _fill(pool, examples, plan)
    normalise(judge, pool.take(min(4096, plan.pool), generator)[1])
    optimiser = torch.optim.AdamW(judge.parameters(), lr=plan.peak_rate, weight_decay=plan.weight_decay)
    started, mean_loss = time.perf_counter(), math.nan
    for iteration in range(plan.iterations):
        pool.add(*examples.draw(plan.fresh))
        for group in optimiser.param_groups:
            group["lr"] = plan.peak_rate * rate_at(iteration / plan.iterations)
        loss = learn(judge, optimiser, *pool.take(plan.batch, generator), generator)
        if iteration % plan.tell_every == 0 or iteration == plan.iterations - 1:
            mean_loss = float(loss)
            tell({"iteration": iteration, "loss": mean_loss, "seconds": time.perf_counter() - started})
    return judge.eval()


def rate_at(progress: float) -> float:
    """Part of the peak learning rate at 0..1 of the training: a short rise, then half a cosine down to 2 %."""
    if progress < WARMUP:
        return (progress + 1e-3) / (WARMUP + 1e-3)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


@torch.inference_mode()
def validate(judge: Judge, renderer: Renderer, plan: JudgePlan, *, split: str = UNSEEN) -> dict[str, dict[str, float]]:
    """Output -> r2, correlation and mean absolute error (in units) on characters that training never drew."""
    examples = Examples(renderer, split, plan.seed + 1, judge.config.picture_px)
    said, true = [], []
    for start in range(0, plan.validation, plan.fresh):
        squares, wanted = examples.draw(min(plan.fresh, plan.validation - start))
        said.append(judge(squares.float() / 127.5 - 1) * judge.std + judge.mean)
        true.append(wanted)
    return {
        name: agreement(said_B, true_B)
        for name, said_B, true_B in zip(OUTPUTS, torch.cat(said).T.double(), torch.cat(true).T.double(), strict=True)
    }


def agreement(said_B: Tensor, true_B: Tensor) -> dict[str, float]:
    """How well numbers are told; where the truth is NaN there is nothing to tell."""
    known = ~true_B.isnan()
    said, true = said_B[known], true_B[known]
    if len(true) < 2:
        return {"r2": math.nan, "correlation": math.nan, "error": math.nan}
    error, spread = said - true, true - true.mean()
    shared = (said - said.mean()) @ spread
    size = ((said - said.mean()).square().sum() * spread.square().sum()).sqrt()
    r2 = 1 - error.square().sum() / spread.square().sum()
    return {"r2": float(r2), "correlation": float(shared / size), "error": float(error.abs().mean())}


def _fill(pool: Pool, examples: Examples, plan: JudgePlan) -> None:
    """Enough for a first batch and for the statistics of the outputs."""
    for _ in range(-(-min(plan.pool, 8 * plan.batch) // plan.fresh)):
        pool.add(*examples.draw(plan.fresh))


def normalise(judge: Judge, targets_BJ: Tensor) -> None:
    """Give the judge the mean and spread of what it is to say, NaN left out."""
    known = ~targets_BJ.isnan()
    count = known.sum(dim=0).clamp(min=1)
    mean = torch.where(known, targets_BJ, 0).sum(dim=0) / count
    spread = torch.where(known, targets_BJ - mean, 0).square().sum(dim=0) / count
    judge.mean.copy_(mean)
    judge.std.copy_(spread.sqrt().clamp(min=1e-3))


def learn(
    judge: Judge,
    optimiser: torch.optim.Optimizer,
    squares_BCHW: Tensor,
    targets_BJ: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """One step on uint8 pictures, which are worsened first; gives the loss. Targets that are NaN do not count."""
    wanted = (targets_BJ - judge.mean) / judge.std
    known = ~wanted.isnan()
    said = judge(worsen(squares_BCHW, generator))
    misses = F.smooth_l1_loss(said, torch.where(known, wanted, 0), reduction="none", beta=0.5)
    loss = torch.where(known, misses, 0).sum() / known.sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
    optimiser.step()
    return loss.detach()
