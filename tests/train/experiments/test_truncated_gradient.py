from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from train.experiments.toy import ToyNetwork
from train.experiments.truncated_gradient import (
    BIASED,
    UNBIASED,
    chained,
    chained_in_full,
    compare,
    enumerated,
    gradient,
    running_mean,
    student,
)


@pytest.fixture(scope="module")
def network() -> ToyNetwork:
    return student(0)


@pytest.fixture(scope="module")
def reference(network: ToyNetwork) -> Tensor:
    return enumerated(network, 8_000, seed=1)


@pytest.mark.parametrize("way", UNBIASED)
def test_random_truncation_is_unbiased(way: str, network: ToyNetwork, reference: Tensor) -> None:
    """480 draws: an error near that of the reference itself (measured .07 and .02, the reference .02)."""
    found = compare(running_mean(network, way, (480,), seed=3)[0], reference)
    assert found.error < 0.13
    assert found.cosine > 0.99


@pytest.mark.parametrize("way", BIASED)
def test_biased_truncation_is_caught(way: str, network: ToyNetwork, reference: Tensor) -> None:
    """The same measure sees always k = K (.48), always the last step (.56) and k below K (.22)."""
    assert compare(running_mean(network, way, (480,), seed=3)[0], reference).error > 0.17


def test_it_is_not_the_gradient_of_the_chain(network: ToyNetwork, reference: Tensor) -> None:
    """Unbiased for the detached objective only: back-propagation through the chain gives another vector."""
    assert compare(enumerated(network, 4_000, 1, chained_in_full), reference).error > 0.1


@pytest.mark.parametrize("pair", [(1, 0), (1, 3), (3, 2)])
def test_both_chains_compute_the_same_samples(pair: tuple[int, int], network: ToyNetwork) -> None:
    made = [chain(network, pair, 16, torch.Generator().manual_seed(4)) for chain in (chained, chained_in_full)]
    torch.testing.assert_close(made[0], made[1])


def test_one_step_of_one_chunk_leaves_out_nothing(network: ToyNetwork) -> None:
    def at(chain: Callable) -> Tensor:
        return gradient(network, (1, 0), 64, torch.Generator().manual_seed(5), chain)

    torch.testing.assert_close(at(chained), at(chained_in_full))


def test_exactly_one_forward_of_a_rollout_has_a_graph(network: ToyNetwork) -> None:
    """2 chunks of 4 steps, then 3 steps: 11 forwards, and only the last."""
    graded: list[bool] = []
    with_hook = network.register_forward_hook(lambda _module, _inputs, output: graded.append(output.requires_grad))
    chained(network, (3, 2), 8, torch.Generator().manual_seed(6))
    with_hook.remove()
    assert graded == [False] * 10 + [True]
