"""Attention in 8 bits: how far it is off, what costs no accuracy, and who may ask for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.errors import ConfigError
from flashtalk.ops.attention import BACKENDS, attend_sdpa, select_attention, select_kernels
from flashtalk.ops.float8_attention import SAMPLE, attend_rounded, round_attention

CPU = torch.device("cpu")
LENGTHS = [1, 37, 300, 517]
BOUNDS = {"flat": 6e-2, "sharp": 4e-2}
"""Of |out - exact| / |exact|. Flat: all keys count alike and results are small sums of large values, the worst case.
Sharp: logits of deviation 6, keys and values with a mean far from zero. Measured: 0.052 and 0.034."""

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(length: int, kind: str = "flat", seed: int = 0) -> Inputs:
    torch.manual_seed(seed)
    q, k, v = torch.randn(3, 2, length, 4, 128)
    if kind == "sharp":
        q, k, v = 3 * q, 2 * k + 4 * torch.randn(2, 1, 4, 128), v + 2 * torch.randn(2, 1, 4, 128)
    return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend_rounded(round_attention(q, k, v), k.shape[1])


def distance(out: Tensor, exact: Tensor) -> float:
    return ((out.double() - exact.double()).norm() / exact.double().norm()).item()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", BOUNDS)
def test_it_is_near_exact_attention(length: int, kind: str) -> None:
    q, k, v = inputs(length, kind)
    assert distance(attend(q, k, v), attend_sdpa(q.double(), k.double(), v.double())) < BOUNDS[kind]


def test_what_all_keys_or_all_values_share_costs_nothing() -> None:
    """Softmax does not see the first; the second comes out as it went in. A few numbers round the other way."""
    q, k, v = inputs(300)
    shared_k, shared_v = 50 * torch.randn(2, 1, 4, 128), 50 * torch.randn(2, 1, 4, 128)
    plain, shifted = attend(q, k, v), attend(q, k + shared_k, v + shared_v) - shared_v
    assert distance(shifted, plain) < 5e-3


def test_what_the_sampled_mean_misses_costs_nothing() -> None:
    """Any vector may be taken out: tokens that the sample leaves out lie elsewhere here."""
    q, k, v = inputs(300)
    left_out = (torch.arange(300) % SAMPLE > 0)[None, :, None, None]
    k, v = k + 3 * left_out, v + 3 * left_out
    assert distance(attend(q, k, v), attend_sdpa(q.double(), k.double(), v.double())) < BOUNDS["flat"]


def test_some_of_the_heads_are_what_they_are_among_all() -> None:
    """Ranks hold some each."""
    q, k, v = inputs(64)
    for x in (q, k, v):
        x[:, :, :2] *= 5.3
    whole, part = attend(q, k, v), attend(*(x[:, :, 2:] for x in (q, k, v)))
    assert distance(whole[:, :, 2:], part) < 1e-6


def test_it_is_refused_where_it_cannot_run() -> None:
    with pytest.raises(ConfigError, match=r"attention 'fp8' cannot run on cpu.*CUDA.*`auto` picks one that can"):
        select_attention("fp8", CPU, torch.bfloat16)


def test_other_attentions_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "some", BACKENDS["sdpa"].__class__(lambda: attend, lambda *_: "", rounds=True))
    assert select_kernels("some", CPU, torch.float32).own is attend
    assert select_kernels("some", CPU, torch.float32).cross is attend_sdpa


def test_its_names_tell(tiny_config: Config) -> None:
    for name, backend in BACKENDS.items():
        assert replace(tiny_config, {"runtime.attention": name}).runtime.rounds_attention == backend.rounds


def test_it_does_not_go_around_a_ring(tiny_config: Config) -> None:
    heads = tiny_config.model.dit.num_heads
    ways: tuple[dict[str, object], ...] = ({"parallel.ranks": 2 * heads}, {"parallel.exchange": "xfuser"})
    for way in ways:
        replace(tiny_config, way)
        with pytest.raises(ConfigError, match="around a ring"):
            replace(tiny_config, way | {"runtime.attention": "fp8"})
