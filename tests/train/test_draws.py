from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
import torch

from flashtalk.errors import InputError
from train.draws import Draws


def chi_square(counts: Counter, cells: int) -> float:
    expected = counts.total() / cells
    return sum((counts[cell] - expected) ** 2 / expected for cell in counts) + expected * (cells - len(counts))


def test_ranks_agree_without_talking() -> None:
    """Two objects, as on two ranks, one of which began at iteration 500: the same chunks and exits for 1,000 draws."""
    first, second = Draws(11), Draws(11)
    early = [(first.chunks(i, m, 5), first.exit_index(i, m, 4)) for i, m in product(range(1000), range(2))]
    late = [(second.chunks(i, m, 5), second.exit_index(i, m, 4)) for i, m in product(range(500, 1000), range(2))]
    assert early[1000:] == late


def test_chunks_and_exits_are_uniform_and_independent() -> None:
    """Chi square of the 20 cells, 19 degrees of freedom: above 43.8 once in a thousand."""
    draws = Draws(1)
    cells = Counter((draws.chunks(i, 0, 5), draws.exit_index(i, 0, 4)) for i in range(20_000))
    assert set(cells) == set(product(range(1, 6), range(4)))
    assert chi_square(cells, 20) < 43.8


@pytest.mark.parametrize("change", ["seed", "iteration", "micro", "role"])
def test_every_part_matters(change: str) -> None:
    """Half of all pairs of coins differ when one part of their names does."""

    def coin(i: int, changed: bool) -> int:
        draws = Draws(1 + (changed and change == "seed"))
        iteration = i + 100_000 * (changed and change == "iteration")
        return draws.chunks(iteration, int(changed and change == "micro"), 2, role="ab"[changed and change == "role"])

    differ = sum(coin(i, False) != coin(i, True) for i in range(4000))
    assert 1850 < differ < 2150


def test_exit_does_not_follow_from_chunks() -> None:
    """K = steps = 4: the two come from different names, so they agree in a quarter of the draws only."""
    draws = Draws(2)
    agree = sum(draws.chunks(i, 0, 4) - 1 == draws.exit_index(i, 0, 4) for i in range(4000))
    assert 880 < agree < 1120


def test_modes() -> None:
    draws = Draws(3)
    assert {draws.chunks(i, 0, 5, "fixed") for i in range(50)} == {5}
    assert {draws.chunks(i, 0, 5, "below") for i in range(200)} == {1, 2, 3, 4}
    assert {draws.chunks(i, 0, 1) for i in range(10)} == {1}
    assert {draws.exit_index(i, 0, 4, "last") for i in range(50)} == {3}


def test_pairs_visit_every_cell_once_a_round() -> None:
    draws, cells = Draws(4), set(product(range(1, 6), range(4)))
    rounds = [[draws.pair(turn, 5, 4) for turn in range(20 * r, 20 * r + 20)] for r in range(5)]
    assert all(set(pairs) == cells for pairs in rounds)
    assert len({tuple(pairs) for pairs in rounds}) == 5, "every round has its own order"
    assert [draws.pair(turn, 5, 4, "critic") for turn in range(20)] not in rounds
    assert Draws(4).pair(63, 5, 4) == rounds[3][3]


def test_first_pairs_of_a_round_are_uniform_over_seeds() -> None:
    cells = Counter(Draws(seed).pair(0, 5, 4) for seed in range(4000))
    assert chi_square(cells, 20) < 43.8


def test_noise_differs_by_rank_and_repeats_after_a_restart() -> None:
    def noise(rank: int, role: str = "generator", micro: int = 0) -> tuple[float, ...]:
        return tuple(torch.randn(4, generator=Draws(5).generator(7, micro, role, rank)).tolist())

    seen = {noise(rank, role, micro) for rank, role, micro in product(range(8), ("generator", "critic"), range(4))}
    assert len(seen) == 64
    assert noise(3) == noise(3)


def test_noise_of_ranks_is_not_correlated() -> None:
    first, second = (torch.randn(100_000, generator=Draws(5).generator(7, 0, "score", rank)) for rank in (0, 1))
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1].item()) < 0.015


def test_impossible_draws_are_refused() -> None:
    draws = Draws(0)
    for wrong in (lambda: draws.chunks(0, 0, 0), lambda: draws.chunks(0, 0, 1, "below"), lambda: draws.pair(-1, 5, 4)):
        with pytest.raises(InputError):
            wrong()
    with pytest.raises(InputError, match="cannot draw chunks 'all'"):
        draws.chunks(0, 0, 5, "all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="exit"):
        draws.exit_index(0, 0, 0)
