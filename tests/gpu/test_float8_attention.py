"""Attention in 8 bits on a GPU: the kernels against their twins, at any length, compiled, and in a CUDA graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flashtalk.ops.attention import BACKENDS
from flashtalk.ops.float8 import FLOAT8
from flashtalk.ops.float8_attention import attend_rounded, round_attention
from flashtalk.ops.float8_attention_triton import lay_out, load_float8
from flashtalk.types import Attend
from tests.gpu.test_cuda import no_synchronisation
from tests.ops.test_float8_attention import distance, inputs

pytestmark = pytest.mark.gpu
TOLERANCE = 4e-2
"""The kernel rounds weights by the largest so far, not by the largest of all."""


@pytest.fixture
def attend() -> Attend:
    reason = BACKENDS["fp8"].why_not(torch.device("cuda"), torch.bfloat16)
    if reason:
        pytest.skip(reason)
    return load_float8()


def on_gpu(length: int, kind: str, seed: int = 0) -> tuple[Tensor, ...]:
    return tuple(x.to("cuda", torch.bfloat16) for x in inputs(length, kind, seed))


@pytest.mark.usefixtures("attend")
@pytest.mark.parametrize("length", [37, 1317])
def test_rounding_is_its_twin(length: int) -> None:
    given = on_gpu(length, "sharp")
    laid_out, twin = lay_out(*given), round_attention(*given)
    value = twin.value_BMNE.view(torch.uint8).unflatten(1, (-1, 2, 4, 2)).transpose(2, 3).flatten(1, 4).view(FLOAT8)
    pairs = (
        (laid_out.query, twin.query_BLNE.transpose(1, 2)),
        (laid_out.key, twin.key_BMNE.transpose(1, 2)),
        (laid_out.value, value.permute(0, 2, 3, 1)),
        (laid_out.query_scale, twin.query_scale_BLN1.squeeze(-1).transpose(1, 2)),
        (laid_out.key_scale, twin.key_scale_BTN.transpose(1, 2)),
        (laid_out.value_scale, twin.value_scale_BTN.transpose(1, 2)),
    )
    for made, wanted in pairs:
        assert distance(made.float(), wanted.float()) < 1e-3


@pytest.mark.parametrize("kind", ["flat", "sharp"])
@pytest.mark.parametrize("length", [1, 37, 128, 1317, 3000])
def test_a_kernel_is_its_twin(attend: Attend, length: int, kind: str) -> None:
    given = on_gpu(length, kind)
    assert distance(attend(*given), attend_rounded(round_attention(*given), length)) < TOLERANCE


def test_inputs_of_an_exchange_are_taken_as_they_lie(attend: Attend) -> None:
    """What arrives from other ranks is one tensor with queries, keys and values side by side."""
    packed = torch.stack(on_gpu(300, "flat"), dim=2).transpose(0, 1)
    apart = tuple(x.transpose(0, 1) for x in packed.unbind(2))
    assert distance(attend(*apart), attend(*(x.contiguous() for x in apart))) < 1e-3


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_it_compiles_whole(attend: Attend) -> None:
    given = on_gpu(1317, "sharp")
    compiled = torch.compile(attend, fullgraph=True, dynamic=False)
    assert distance(compiled(*given), attend(*given)) < 1e-2


def test_it_waits_for_nothing_and_replays(attend: Attend) -> None:
    given, others = on_gpu(300, "flat"), on_gpu(300, "sharp", seed=1)
    wanted = attend(*others)
    with no_synchronisation():
        attend(*given)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = attend(*given)
    for place, new in zip(given, others, strict=True):
        place.copy_(new)
    graph.replay()
    assert distance(out, wanted) < 1e-6
