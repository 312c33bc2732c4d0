"""The joined layers of the VAE are the plain ones: exact in float64, for chunks, streams, encoding and rows."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from flashtalk.config import Config
from flashtalk.config_codec import WanVAEConfig
from flashtalk.config_file import replace
from flashtalk.engine.build import build_networks
from flashtalk.engine.fast_vae import FastUpsample, NormSiluConv, UpsampleConv, make_codec_fast
from flashtalk.engine.plan import plan
from flashtalk.models.causal import CausalConv3d, StreamCache
from flashtalk.models.vae import ChannelNorm, ResidualBlock, WanVAE
from flashtalk.ops.channel_norm import add_bias, norm_silu_into, norm_silu_plain

Pair = tuple[WanVAE, WanVAE]


@pytest.fixture(scope="module")
def pair() -> Pair:
    torch.manual_seed(2)
    plain = WanVAE(WanVAEConfig(base_dim=8)).double().eval().requires_grad_(False)
    for name, weight in plain.named_parameters():
        if name.endswith("gamma"):
            nn.init.uniform_(weight, 0.5, 1.5)
    fast = copy.deepcopy(plain)
    make_codec_fast(fast)
    return plain, fast


def assert_same(fast: Tensor, plain: Tensor, bound: float = 1e-12) -> None:
    assert fast.shape == plain.shape
    assert (fast - plain).norm() <= bound * plain.norm()


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("frames", [1, 4])
def test_whole_decode_is_the_plain_and_the_streamed_one(pair: Pair, frames: int) -> None:
    plain, fast = pair
    latents = noise(1, 16, frames, 3, 4)
    wanted = plain.decode(latents)
    assert_same(fast.decode(latents), wanted, 1e-7)  # pixels are float32
    assert_same(torch.cat(list(fast.decode_stream(latents)), dim=2), wanted, 1e-7)
    raw = [vae.decoder(latents, StreamCache()) for vae in pair]
    assert_same(raw[1], raw[0])


@pytest.mark.parametrize("cuts", [(1, 2, 2), (3, 2), (2, 3)])
def test_any_cut_gives_the_same_decode(pair: Pair, cuts: tuple[int, ...]) -> None:
    plain, fast = pair
    latents, cache = noise(1, 16, 5, 3, 4), StreamCache()
    joined = torch.cat([fast.decoder(piece, cache) for piece in latents.split(cuts, dim=2)], dim=2)
    assert_same(joined, plain.decoder(latents, StreamCache()))


def test_encode_is_the_plain_one(pair: Pair) -> None:
    pixels = noise(1, 3, 9, 32, 48)
    features = [vae.encoder(pixels, StreamCache()) for vae in pair]
    assert_same(features[1], features[0])


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (2, 6, 5, 7)])
def test_a_convolution_of_doubled_pictures_needs_none(shape: tuple[int, ...]) -> None:
    conv = nn.Conv2d(6, 4, 3, padding=1).double()
    x = noise(*shape)
    doubled = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    assert_same(UpsampleConv(conv)(x), conv(doubled))


def fast_layers() -> list[tuple[nn.Module, Tensor]]:
    """Of each kind of joined convolution one, with something to compute."""
    up = UpsampleConv(nn.Conv2d(6, 4, 3, padding=1).double())
    joined = NormSiluConv(ChannelNorm(6).double(), CausalConv3d(6, 4, 3).double())
    return [(up, noise(1, 6, 5, 6)), (joined, noise(1, 6, 2, 5, 6))]


@torch.no_grad()
@pytest.mark.parametrize("kind", [0, 1], ids=["up", "norm"])
def test_rows_with_their_neighbours_are_the_whole(kind: int) -> None:
    """What a split does from outside: no padding of rows, a row of each neighbour (zeros beyond the picture)."""
    layer, x = fast_layers()[kind]

    def compute(rows: Tensor) -> Tensor:
        return layer(rows, StreamCache()) if kind else layer(rows)

    whole, padded = compute(x), nn.functional.pad(x, (0, 0, 1, 1))
    layer.padding = (*layer.padding[:-2], 0, layer.padding[-1])  # type: ignore[index]
    parts = [compute(padded.narrow(-2, first, rows + 2)) for first, rows in ((0, 2), (2, 3))]
    assert_same(torch.cat(parts, dim=-2), whole)


def test_nothing_is_left_plain(pair: Pair) -> None:
    """Every norm before a convolution, every upsampling; weights lie channels last and are the same ones."""
    plain, fast = pair
    kinds = [sum(isinstance(module, kind) for module in fast.modules()) for kind in (NormSiluConv, FastUpsample)]
    assert kinds == [2 * sum(isinstance(module, ResidualBlock) for module in plain.modules()) + 2, 3]
    assert not any(isinstance(module, nn.SiLU) for module in fast.modules())
    assert sum(p.numel() for p in fast.parameters()) == sum(p.numel() for p in plain.parameters())
    for module in fast.modules():
        if isinstance(module, nn.Conv3d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_pictures_stay_channels_last(pair: Pair) -> None:
    """No layer of the decoder hands on another layout, which the next convolution would have to turn around.

    In bfloat16, where torch's convolutions keep the layout on a CPU too.
    """
    vae = copy.deepcopy(pair[1]).bfloat16()
    found: dict[str, bool] = {}

    def look(name: str, out: Tensor) -> None:
        last = torch.channels_last if out.ndim == 4 else torch.channels_last_3d
        found[name] = out.is_contiguous(memory_format=last)

    for name, module in vae.decoder.named_modules():
        if isinstance(module, (NormSiluConv, FastUpsample, ResidualBlock)):
            module.register_forward_hook(lambda _module, _inputs, out, name=name: look(name, out))
        elif isinstance(module, UpsampleConv):
            module.register_forward_pre_hook(lambda _module, inputs, name=name: look(name, inputs[0]))
    vae.decoder(torch.randn(1, 16, 3, 4, 6, dtype=torch.bfloat16), StreamCache())
    assert len(found) > 20
    assert all(found.values()), [name for name, fine in found.items() if not fine]


def test_a_config_asks_for_it(tiny_wan_config: Config) -> None:
    on = {"runtime.fused_codec": True}
    codecs = [build_networks(replace(tiny_wan_config, changes)).codec for changes in ({}, on)]
    assert [any(isinstance(m, NormSiluConv) for m in codec.modules()) for codec in codecs] == [False, True]  # type: ignore[attr-defined]


def test_a_plan_knows_what_it_spares(tiny_wan_config: Config) -> None:
    on_gpu = {"runtime.device": "cuda", "runtime.dtype": "bfloat16"}
    plans = [plan(replace(tiny_wan_config, on_gpu | {"runtime.fused_codec": on}), "h200") for on in (False, True)]
    plain, fast = ({stage.name: stage.work for stage in made.stages}["decode"] for made in plans)
    assert fast.conv < 0.98 * plain.conv
    assert fast.moved_bytes < plain.moved_bytes
    assert fast.peak_bytes <= plain.peak_bytes


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [8, 96, 192, 384])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_kernel_is_its_twin(channels: int, batch: int) -> None:
    """One rounding to bfloat16 (2^-9) against the twin in float32; the last frames are left alone."""
    x = torch.randn(batch, channels, 3, 5, 7, device="cuda", dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    x[:, :, 1, 2, 3] = 0
    gamma = torch.rand(channels, device="cuda", dtype=torch.bfloat16) + 0.5
    room = torch.full((batch, channels, 5, 5, 7), 7.0, device="cuda", dtype=torch.bfloat16)
    room = room.contiguous(memory_format=torch.channels_last_3d)
    norm_silu_into(room[:, :, 2:], x, gamma)
    wanted = torch.empty(x.shape, device="cuda")
    norm_silu_plain(wanted, x.float(), gamma.float())
    assert (room[:, :, 2:].float() - wanted).norm() / wanted.norm() < 3e-3
    assert (room[:, :, :2] == 7).all()
    assert (room[:, :, 3, 2, 3] == 0).all()


@pytest.mark.gpu
@pytest.mark.parametrize("channels", [3, 96, 384])
def test_a_bias_is_added_as_torch_would(channels: int) -> None:
    x = torch.randn(2, channels, 3, 37, 41, device="cuda", dtype=torch.bfloat16)
    x, bias = x.contiguous(memory_format=torch.channels_last_3d), torch.randn(channels).cuda().bfloat16()
    wanted = x + bias.view(-1, 1, 1, 1)
    assert add_bias(x, bias) is x
    assert torch.equal(x, wanted)


@pytest.mark.gpu
def test_decoding_on_a_gpu() -> None:
    """bfloat16, some 30 layers: both ways are within a few per cent of float32, the joined one no farther."""
    torch.manual_seed(0)
    exact = WanVAE(WanVAEConfig(base_dim=16)).cuda().eval().requires_grad_(False)
    plain = copy.deepcopy(exact).bfloat16()
    fast = copy.deepcopy(plain)
    make_codec_fast(fast)
    latents = torch.randn(1, 16, 5, 8, 10, device="cuda")
    with torch.inference_mode():
        wanted, by_plain, by_fast = (vae.decode(latents) for vae in (exact, plain, fast))
    errors = [((out - wanted).norm() / wanted.norm()).item() for out in (by_plain, by_fast)]
    assert errors[1] < 5e-2
    assert errors[1] < 1.5 * errors[0] + 1e-3
