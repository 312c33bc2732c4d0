"""8-bit linears: which are swapped, what their scales are, and how near the products stay."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from flashtalk.config import Config
from flashtalk.config_file import replace
from flashtalk.engine import quantize
from flashtalk.engine.build import build_networks
from flashtalk.engine.plan import plan
from flashtalk.engine.quantize import Float8Linear, quantize_linears
from flashtalk.errors import ConfigError, EngineError
from flashtalk.models.dit import DiT
from flashtalk.ops.float8 import FLOAT8, FLOAT8_MAX, multiply, multiply_plain, quantize_rows

IN_BLOCKS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o")
IN_BLOCKS += ("audio_cross_attn.q_linear", "audio_cross_attn.proj", "ffn.0", "ffn.2")


def relative(error: torch.Tensor, wanted: torch.Tensor) -> float:
    return (error.double() - wanted.double()).norm().item() / wanted.double().norm().item()


# Numbers.


def test_each_row_fills_the_range() -> None:
    """Rows of very different sizes lose no more than the 3 bits of the format: 2^-4 of each number at most."""
    x = torch.randn(6, 64) * torch.logspace(-9, 6, 6)[:, None]
    rows, scale = quantize_rows(x)
    assert rows.dtype == FLOAT8
    assert scale.shape == (6, 1)
    assert (rows.float().abs().amax(1) == FLOAT8_MAX).all()
    large = x.abs() > x.abs().amax(1, keepdim=True) / 1000
    assert ((rows.float() * scale - x).abs() <= x.abs() / 16 * (1 + 1e-6))[large].all()


def test_rows_of_zeros_and_of_large_numbers_are_finite() -> None:
    x = torch.stack((torch.zeros(32), torch.full((32,), 3e38), torch.linspace(-1, 1, 32)))
    rows, scale = quantize_rows(x)
    back = rows.float() * scale
    assert back.isfinite().all()
    assert (back[0] == 0).all()
    torch.testing.assert_close(back[1], x[1])


def test_the_product_is_that_of_the_rounded_numbers() -> None:
    """Scales go with their rows: what is left is the rounding of the two inputs."""
    (a, scale_a), (b, scale_b) = (quantize_rows(torch.randn(n, 48) * torch.rand(n, 1) * 100) for n in (5, 7))
    bias = torch.randn(7)
    exact = (a.double() * scale_a) @ (b.double() * scale_b).T + bias
    torch.testing.assert_close(
        multiply_plain(a, scale_a, b, scale_b.flatten(), bias).double(), exact, rtol=1e-5, atol=1e-5
    )


def test_a_linear_stays_near() -> None:
    """Two inputs with 3 bits each: 2^-4 / sqrt 3 of a number at worst, under 3 % on average, sqrt 2 of it for both."""
    linear = nn.Linear(256, 96)
    x = torch.randn(2, 33, 256)
    error = relative(Float8Linear(linear)(x), linear(x))
    assert 0.005 < error < 0.05


def test_shares_of_the_rows_join_to_the_whole() -> None:
    quantized, x = Float8Linear(nn.Linear(64, 32)), torch.randn(1, 30, 64)
    joined = torch.cat([quantized(part) for part in x.split(7, dim=1)], dim=1)
    torch.testing.assert_close(joined, quantized(x), rtol=1e-6, atol=1e-6)


# Swapping.


def test_blocks_are_swapped_by_name_and_nothing_else(tiny_config: Config) -> None:
    dit = DiT(tiny_config.model.dit).eval()
    linears = {name for name, module in dit.named_modules() if isinstance(module, nn.Linear)}
    report = quantize_linears(dit)
    assert set(report.names) == {f"blocks.{i}.{name}" for i in range(2) for name in IN_BLOCKS}
    for name in linears:
        assert isinstance(dit.get_submodule(name), Float8Linear if name in report.names else nn.Linear)
    assert report.before_bytes / 4.5 < report.after_bytes < report.before_bytes / 3.5


def test_a_linear_is_gone_before_the_next_one_is_rounded(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """14B would need room for its weights twice over."""
    dit = build_networks(tiny_config).dit
    linears = [weakref.ref(module) for module in dit.modules() if isinstance(module, nn.Linear)]
    alive = []

    def count_first(x_LD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        alive.append(sum(linear() is not None for linear in linears))
        return quantize_rows(x_LD)

    monkeypatch.setattr(quantize, "quantize_rows", count_first)
    report = quantize_linears(dit)
    assert alive == [len(linears) - done for done in range(len(report.names))]


def test_nothing_found_is_an_error(tiny_config: Config) -> None:
    with pytest.raises(EngineError, match=r"no linear to quantise matches blocks\.\*\.mlp"):
        quantize_linears(DiT(tiny_config.model.dit), ["blocks.*.mlp"])


def test_odd_sizes_are_refused_by_name() -> None:
    network = nn.ModuleDict({"good": nn.Linear(16, 32), "odd": nn.Linear(16, 24)})
    with pytest.raises(EngineError, match="multiples of 16, which these are not: odd"):
        quantize_linears(network, ["*"])
    assert isinstance(network["good"], nn.Linear)


@pytest.mark.parametrize("folded", [False, True])
def test_a_config_swaps_them(tiny_config: Config, folded: bool) -> None:
    config = replace(tiny_config, {"runtime.linears": "fp8", "runtime.fused_qkv": True, "runtime.folded_audio": folded})
    plain, fast = build_networks(tiny_config), build_networks(config)
    names = {name for name, module in fast.dit.named_modules() if isinstance(module, Float8Linear)}
    assert "blocks.0.self_attn.qkv" in names
    assert ("blocks.0.audio_cross_attn.proj" in names) is not folded
    assert plain.fingerprint != fast.fingerprint
    assert sum(p.numel() for p in plain.dit.parameters()) == sum(p.numel() for p in fast.dit.parameters())


def test_a_plan_counts_them(tiny_config: Config) -> None:
    on_gpu = {"runtime.device": "cuda", "runtime.dtype": "bfloat16"}
    plain, fast = (plan(replace(tiny_config, on_gpu | {"runtime.linears": kind}), "h200") for kind in ("plain", "fp8"))
    assert plain.step.float8 == 0
    assert 0.9 * plain.step.linear < fast.step.float8 == plain.step.linear - fast.step.linear
    assert fast.step.flops == plain.step.flops
    assert fast.memory.weights["dit"] < plain.memory.weights["dit"]
    with pytest.raises(ConfigError, match="nobody measured 8-bit products"):
        plan(replace(tiny_config, {"runtime.linears": "fp8"}))


# On the device that it is for.


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 33, 1317])
def test_the_kernel_is_its_twin(tokens: int) -> None:
    """The result is bfloat16, so 2^-9 of rounding; fast accumulation adds some 2^-12 of the sum."""
    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("needs Hopper")
    (a, scale_a), (b, scale_b) = (quantize_rows(torch.randn(n, 512, device="cuda")) for n in (tokens, 256))
    bias = torch.randn(256, device="cuda", dtype=torch.bfloat16)
    plain = multiply_plain(a, scale_a, b, scale_b.flatten(), bias)
    assert relative(multiply(a, scale_a, b, scale_b.flatten(), bias), plain) < 5e-3
