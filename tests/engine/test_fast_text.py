"""Equal rows of text padding count as many without being many: the attention of training, where all are written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from flashtalk.config import Config
from flashtalk.config_file import replace as with_settings
from flashtalk.engine.build import build_networks
from flashtalk.models.dit import FEWEST_COPIES, DiT, kept_rows
from flashtalk.ops.attention import attend_sdpa, attend_weighted, count_weights
from flashtalk.types import BlockContext

LONG = 200


@pytest.fixture(scope="module")
def dit(tiny_config: Config) -> DiT:
    torch.manual_seed(3)
    return DiT(replace(tiny_config.model.dit, text_len=LONG)).double().eval().requires_grad_(False)


def plain_context(dit: DiT, text_BLD: Tensor, picture_BLD: Tensor) -> list[BlockContext]:
    """The twin: all rows up to text_len, each by itself."""
    text = dit.text_embedding(F.pad(text_BLD, (0, 0, 0, LONG - text_BLD.shape[1])))
    return [block.cross_attn.prepare(text, dit.img_emb(picture_BLD)) for block in dit.blocks]


@pytest.mark.parametrize("given", [0, 1, 120, 121, 200])
def test_collapsed_padding_is_the_padding(dit: DiT, given: int) -> None:
    config, kept = dit.config, kept_rows(given, LONG)
    text, picture = (torch.randn(2, rows, width).double() for rows, width in ((given, config.text_dim), (5, 32)))
    x = torch.randn(2, 30, config.dim).double()
    contexts = dit.embed_context(text, picture), plain_context(dit, text, picture)
    for block, fast, plain in zip(dit.blocks, *contexts, strict=True):
        assert fast.text.key.shape[1] == kept
        outs = [block.cross_attn(x, context) for context in (fast, plain)]
        assert (outs[0] - outs[1]).norm() <= 1e-12 * outs[1].norm()


@pytest.mark.parametrize(("given", "kept"), [(0, 128), (120, 128), (121, 200), (200, 200)])
def test_some_padding_stays_and_there_are_two_sizes(given: int, kept: int) -> None:
    assert kept_rows(given, LONG) == kept
    assert kept == LONG or kept >= given + FEWEST_COPIES


@pytest.mark.parametrize("padding", ["counted", "plain"])
def test_a_config_has_all_padding_written_out(tiny_config: Config, padding: str) -> None:
    config = with_settings(
        tiny_config,
        {"runtime.text_padding": padding, "model.dit.text_len": LONG, "model.text_encoder.max_tokens": LONG},
    )
    dit = build_networks(config).dit
    text, picture = torch.randn(1, 3, dit.config.text_dim), torch.randn(1, 5, dit.config.image_dim)
    with torch.inference_mode():
        contexts = dit.embed_context(text, picture), plain_context(dit, text, picture)
    kept, weighs = (LONG, False) if padding == "plain" else (kept_rows(3, LONG), True)
    for made, plain in zip(*contexts, strict=True):
        assert (made.text.key.shape[1], made.text_weight_L is not None) == (kept, weighs)
        torch.testing.assert_close(made.text.key, plain.text.key[:, :kept])


def test_short_models_are_as_they_were(tiny_config: Config) -> None:
    """Where all rows are few nothing is collapsed, and no other kernel is asked."""
    dit = DiT(tiny_config.model.dit)
    config = dit.config
    context = dit.embed_context(torch.randn(1, 3, config.text_dim), torch.randn(1, 5, config.image_dim))
    assert all(block.text_weight_L is None for block in context)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("single", "copies", "total"), [(20, 108, 492), (3, 8, 509), (120, 8, 392), (5, 59, 60)])
def test_counts_add_up_in_any_precision(single: int, copies: int, total: int, dtype: torch.dtype) -> None:
    weights = count_weights(single, copies, total, torch.empty(0, dtype=dtype))
    assert weights.shape == (single + copies,)
    assert weights.dtype == dtype
    assert (weights[:single] == 0).all()
    bound = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2e-3}[dtype]
    assert weights[single:].double().exp().sum().item() == pytest.approx(total, rel=bound)


def test_weighted_attention_is_attention_to_repeated_keys() -> None:
    q, k, v = (torch.randn(1, rows, 2, 16).double() for rows in (7, 5, 5))
    counts = torch.tensor([1, 3, 1, 2, 4])
    repeated = attend_sdpa(q, k.repeat_interleave(counts, dim=1), v.repeat_interleave(counts, dim=1))
    torch.testing.assert_close(attend_weighted(q, k, v, counts.double().log()), repeated, rtol=0, atol=1e-13)


@pytest.mark.gpu
def test_weighted_attention_on_a_gpu() -> None:
    """bfloat16: the probabilities and the result are rounded to 8 bits, errors of sums of 128 are far below 1e-2."""
    q, k, v = (torch.randn(1, rows, 4, 128, device="cuda", dtype=torch.bfloat16) for rows in (300, 128, 128))
    weight = count_weights(20, 108, 492, q)
    wanted = attend_weighted(*(x.cpu().double() for x in (q, k, v)), weight.cpu().double())
    error = (attend_weighted(q, k, v, weight).cpu().double() - wanted).norm() / wanted.norm()
    assert error < 1e-2
