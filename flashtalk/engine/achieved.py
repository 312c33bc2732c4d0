"""What a benchmark's times mean: work counted from the networks' code by the seconds it took, and against ceilings.

Called by `flashtalk bench`, for a run that has just ended and for files of earlier ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flashtalk.config import Config
from flashtalk.engine.ceilings import ATTENTION, SERVED_FLOAT8, SERVED_PRODUCTS, Ceiling
from flashtalk.engine.plan import plan
from flashtalk.engine.rates import REFERENCE_GPU
from flashtalk.engine.work import Work
from flashtalk.errors import FlashTalkError


@dataclass(frozen=True)
class Achieved:
    """Of one GPU: 10^12 operations a second, and their share of what its kernels reach alone (None: not measured).

    The share is that of the time which these operations would take at the ceilings' rates, each kind at its own.
    """

    tflops: float
    share: float | None


def count_work(config: Config) -> dict[str, Work]:
    """A chunk by stage, all ranks together, in some seconds; empty if the networks cannot be counted."""
    try:
        return {stage.name: stage.work for stage in plan(config, _device(config)).stages}
    except FlashTalkError:
        return {}


def achieved(work: Work, seconds: float, ranks: int, ceilings: Mapping[str, Ceiling]) -> Achieved:
    """`work` done in `seconds` by so many GPUs."""
    floor_s = _floor_s(work, ceilings)
    return Achieved(work.flops / ranks / seconds / 1e12, floor_s and floor_s / ranks / seconds)


def _floor_s(work: Work, ceilings: Mapping[str, Ceiling]) -> float | None:
    """One GPU at its ceilings; convolutions, which are next to none in the transformer, at that of products."""
    parts = (
        (SERVED_PRODUCTS, work.linear + work.conv),
        (SERVED_FLOAT8, work.float8),
        (ATTENTION, work.attention + work.attention8),
    )
    needed = [(ceilings.get(name), flops) for name, flops in parts if flops]
    rates = [(ceiling.value, flops) for ceiling, flops in needed if ceiling and ceiling.value]
    return sum(flops / rate / 1e12 for rate, flops in rates) if len(rates) == len(needed) else None


def _device(config: Config) -> str | None:
    """Seconds are not asked for here, so that any device with known rates will do; measuring this one takes longer."""
    return REFERENCE_GPU if config.runtime.dtype == "bfloat16" else None
