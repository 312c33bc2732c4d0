"""Timesteps of the few-step samplers, as plain numbers. Called by pipeline/denoise and by training.

Flow matching: x_sigma = (1 - sigma) x0 + sigma noise, sigma = t / 1000. To add a schedule, add a function to SCHEDULES.
"""

from __future__ import annotations

from collections.abc import Callable

T_MAX = 1000.0


def shifted(u: float, shift: float) -> float:
    """s(u) = shift u / (1 + (shift - 1) u): spends more of the steps at high noise. u in 0..1."""
    return shift * u / (1 + (shift - 1) * u)


def uniform_schedule(steps: int, shift: float) -> tuple[float, ...]:
    """steps + 1 sigmas from 1 to 0, uniform before the shift: 1, 0.9375, 0.8333, 0.625, 0 for 4 steps and shift 5."""
    return tuple(shifted(1 - i / steps, shift) for i in range(steps + 1))


SCHEDULES: dict[str, Callable[[int, float], tuple[float, ...]]] = {"uniform": uniform_schedule}
