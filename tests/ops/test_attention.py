"""Every kernel equals its plain twin; one that cannot run says why."""

from __future__ import annotations

import pytest
import torch

from flashtalk.errors import ConfigError
from flashtalk.ops.attention import BACKENDS, FASTEST_FIRST, attend_sdpa, select_attention

CPU = torch.device("cpu")
SHAPES = [(1, 70, 70, 3, 32), (2, 33, 8, 4, 64), (1, 130, 769, 2, 128)]


def by_hand(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return (weights @ v).transpose(1, 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_sdpa_is_the_formula(shape: tuple[int, ...]) -> None:
    batch, queries, keys, heads, width = shape
    q = torch.randn(batch, queries, heads, width)
    k, v = torch.randn(2, batch, keys, heads, width)
    torch.testing.assert_close(attend_sdpa(q, k, v).double(), by_hand(q, k, v), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_kernel_is_its_twin(name: str, shape: tuple[int, ...]) -> None:
    device = torch.device("cuda")
    reason = BACKENDS[name].why_not(device, torch.bfloat16)
    if reason:
        pytest.skip(f"{name}: {reason}")
    batch, queries, keys, heads, width = shape
    q = torch.randn(batch, queries, heads, width, device=device, dtype=torch.bfloat16)
    k, v = torch.randn(2, batch, keys, heads, width, device=device, dtype=torch.bfloat16)
    error = (BACKENDS[name].load()(q, k, v).double() - by_hand(q, k, v)).norm() / by_hand(q, k, v).norm()
    assert error < (7e-2 if BACKENDS[name].rounds else 1e-2)


def test_auto_is_usable_and_named() -> None:
    name, attend = select_attention("auto", CPU, torch.float32)
    assert name in FASTEST_FIRST
    assert attend is BACKENDS[name].load()


@pytest.mark.parametrize(("name", "word"), [("flash9", "known are"), ("cudnn", "CUDA"), ("flash3", "CUDA")])
def test_a_kernel_that_cannot_run_is_refused_with_its_reason(name: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        select_attention(name, CPU, torch.bfloat16)
