"""Settings of a rank group: how many processes compute one stream together, and how long they wait for each other.

A section of Config; read by flashtalk/parallel and engine/ranks.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """One process per GPU (or, on a CPU, for tests); all of them hold the weights and make the same calls."""

    ranks: int = 1
    """Processes that compute one stream together."""
    ulysses_degree: int | None = None
    """Ranks that exchange heads; the rest of the factor passes keys and values around a ring. null: as many as divide
    both the ranks and the heads, which is all of them for 40 heads on 1, 2, 4, 5 or 8."""
    exchange: Literal["own", "xfuser"] = "own"
    """Whose groups and attention exchange: ours, or xDiT's (needs the package and CUDA)."""
    split_codec: bool = True
    """Whether each rank encodes and decodes its rows only; else all of them do the whole picture."""
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    """auto is nccl on CUDA, gloo on a CPU."""
    timeout_s: float = 120.0
    """Longest wait for another rank in the middle of work, then the group is lost; a rank may compile meanwhile. Who
    starts the ranks sees a dead or stuck one sooner."""
    start_s: float = 900.0
    """Longest wait for the other ranks to start, to load weights and to compile."""

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if self.ulysses_degree is not None and self.ranks % self.ulysses_degree:
            yield f"ulysses_degree {self.ulysses_degree} must divide ranks {self.ranks}"

    def degrees(self, heads: int) -> tuple[int, int]:
        """(Ulysses, ring), whose product is `ranks`."""
        divides = (degree for degree in range(self.ranks, 0, -1) if not (self.ranks % degree or heads % degree))
        ulysses = self.ulysses_degree or next(divides)
        return ulysses, self.ranks // ulysses
