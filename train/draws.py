"""Randomness that all ranks agree on without talking: functions of (run seed, iteration, ...). Called by sft and dmd.

No state is kept, so a run that starts again at iteration n draws what it would have drawn.
"""

from __future__ import annotations

from typing import Literal

import torch

from flashtalk.errors import InputError
from flashtalk.ops.seeds import mixed_seed

ChunkMode = Literal["uniform", "fixed", "below"]
ExitMode = Literal["uniform", "last"]


class Draws:
    """Draws of one run. `role` names what a number is for ("generator", "critic", ...): roles are independent.

    `micro` counts the accumulation steps inside an iteration.
    """

    def __init__(self, run_seed: int) -> None:
        self.run_seed = run_seed

    def generator(
        self, iteration: int, micro: int, role: str, rank: int, device: torch.device | str = "cpu"
    ) -> torch.Generator:
        """A fresh generator for noise, another for every rank; numbers differ between kinds of devices."""
        seed = mixed_seed(self.run_seed, "noise", iteration, micro, role, rank)
        return torch.Generator(device).manual_seed(seed)

    def chunks(
        self, iteration: int, micro: int, most_chunks: int, mode: ChunkMode = "uniform", role: str = "rollout"
    ) -> int:
        """How many chunks k a rollout has, the same on all ranks.

        uniform: 1..K inclusive (equation 3). fixed: always K. below: 1..K-1, the reading of the paper's text "k < K",
        which is another objective (train/experiments/truncated_gradient); it needs K of at least 2.
        """
        most = {"uniform": most_chunks, "fixed": 1, "below": most_chunks - 1}.get(mode, 0)
        if most < 1:
            raise InputError(f"cannot draw chunks {mode!r} of at most {most_chunks}", code="chunk_mode")
        drawn = mixed_seed(self.run_seed, "chunks", iteration, micro, role) % most
        return most_chunks if mode == "fixed" else 1 + drawn

    def exit_index(
        self, iteration: int, micro: int, steps: int, mode: ExitMode = "uniform", role: str = "rollout"
    ) -> int:
        """The step j in 0..steps-1 of the last chunk at which the rollout stops and takes its gradient."""
        if steps < 1 or mode not in ("uniform", "last"):
            raise InputError(f"cannot draw an exit {mode!r} of {steps} steps", code="exit_mode")
        if mode == "last":
            return steps - 1
        return mixed_seed(self.run_seed, "exit", iteration, micro, role) % steps

    def pair(self, turn: int, most_chunks: int, steps: int, role: str = "rollout") -> tuple[int, int]:
        """(k, exit index) of the `turn`-th rollout of this role, all K x steps pairs once in each round of turns.

        As uniform as `chunks` and `exit_index`, with less variance when there are few turns: count turns as
        updates x micro steps + micro. Every round has its own order.
        """
        if turn < 0 or most_chunks < 1 or steps < 1:
            raise InputError(f"no pairs for turn {turn} of {most_chunks} chunks, {steps} steps", code="chunk_mode")
        cells = most_chunks * steps
        round_index, place = divmod(turn, cells)
        seed = mixed_seed(self.run_seed, "pairs", role, round_index)
        cell = int(torch.randperm(cells, generator=torch.Generator().manual_seed(seed))[place])
        return 1 + cell // steps, cell % steps
